/** Samples for the governor: what this machine's processors and the channels did since the last sample. */
import { cpus } from "node:os";
import {
  govern,
  governorStart,
  type GovernorState,
} from "../../partitioning/governor.ts";

const CORES = cpus().length;
/** Idle cores below which none counts as idle. */
const IDLE_CORES_MIN = 0.5;

interface CpuTimes {
  readonly idle: number;
  readonly all: number;
}

function readCpuTimes(): CpuTimes {
  let idle = 0;
  let all = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    all += times.idle + times.user + times.nice + times.sys + times.irq;
  }
  return { idle, all };
}

export interface ReadersAtWork {
  readonly bytesTotal: number;
  readonly active: number;
  readonly paused: number;
  readonly serverStrain: boolean;
}

export class ReaderGovernor {
  readonly #ceiling: number;
  #state: GovernorState = governorStart;
  #cpu = readCpuTimes();
  #pausedSamples = 0;
  #samples = 0;

  constructor(ceiling: number) {
    this.#ceiling = ceiling;
  }

  /** The number of readers that ought to work, or null where nothing changes. */
  sample(now: ReadersAtWork): number | null {
    const cpu = readCpuTimes();
    const all = cpu.all - this.#cpu.all;
    // shorter than a tick of the kernel's clock there is nothing to tell
    const idle = all > 0 ? (cpu.idle - this.#cpu.idle) / all : 0;
    // what start-up and waits leave of a few cores is no room for a reader, which takes a good half of one
    const cpuIdleFraction = idle * CORES >= IDLE_CORES_MIN ? idle : 0;
    this.#cpu = cpu;
    this.#samples += 1;
    if (now.active > 0) this.#pausedSamples += now.paused / now.active;
    const { state, decision } = govern(
      this.#state,
      {
        timeMs: performance.now(),
        bytesTotal: now.bytesTotal,
        readersActive: now.active,
        cpuIdleFraction,
        backpressureShare: this.#pausedSamples / this.#samples,
        latencyBound: false,
        serverStrain: now.serverStrain,
      },
      this.#ceiling,
    );
    this.#state = state;
    if (decision === "keep") return null;
    this.#samples = 0;
    this.#pausedSamples = 0;
    return state.readers;
  }
}
