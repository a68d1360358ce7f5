/** The definitions of all machines, as the page draws them. They are read off the machines that run. */
import type { AnyStateMachine, AnyStateNode } from "xstate";
import { bookkeeperMachine } from "../../actors/daemon/bookkeeper.machine.ts";
import { destinationChannelMachine } from "../../actors/destination/channel.machine.ts";
import { checkpointCoordinatorMachine } from "../../actors/destination/checkpoint-coordinator.machine.ts";
import { destinationProcessMachine } from "../../actors/destination/destination-process.machine.ts";
import { inputFlowMachine } from "../../actors/destination/input-flow.machine.ts";
import { writerMachine } from "../../actors/destination/writer.machine.ts";
import { keeperMachine } from "../../actors/keeper/keeper.machine.ts";
import { runMachine } from "../../actors/run/run.machine.ts";
import { streamRunMachine } from "../../actors/run/stream-run.machine.ts";
import { sourceChannelMachine } from "../../actors/source/channel.machine.ts";
import { logGuardMachine } from "../../actors/source/log-guard.machine.ts";
import { logReaderMachine } from "../../actors/source/log-reader.machine.ts";
import { messageSourceMachine } from "../../actors/source/messages/message-source.machine.ts";
import { partitionerMachine } from "../../actors/source/partitioner.machine.ts";
import { readerMachine } from "../../actors/source/reader.machine.ts";
import { resplitterMachine } from "../../actors/source/resplitter.machine.ts";
import { sourceProcessMachine } from "../../actors/source/source-process.machine.ts";
import { statsEmitterMachine } from "../../actors/stats-emitter.machine.ts";
import type { Chart, ChartEdge, ChartState } from "./model/chart.ts";
import { chartKey } from "./model/names.ts";

const machines: readonly (readonly [process: string, AnyStateMachine])[] = [
  ["bookkeeper", bookkeeperMachine],
  ["bookkeeper", runMachine],
  ["bookkeeper", streamRunMachine],
  ["keeper", keeperMachine],
  ["source", sourceProcessMachine],
  ["source", sourceChannelMachine],
  ["source", partitionerMachine],
  ["source", readerMachine],
  ["source", resplitterMachine],
  ["source", logReaderMachine],
  ["source", messageSourceMachine],
  ["source", logGuardMachine],
  ["source", statsEmitterMachine],
  ["destination", destinationProcessMachine],
  ["destination", destinationChannelMachine],
  ["destination", checkpointCoordinatorMachine],
  ["destination", inputFlowMachine],
  ["destination", writerMachine],
];

/** By `chartKey`. */
export function describeCharts(): Record<string, Chart> {
  return Object.fromEntries(
    machines.map(([process, machine]) => [
      chartKey(process, machine.id),
      describeChart(machine),
    ]),
  );
}

function describeChart(machine: AnyStateMachine): Chart {
  const states: ChartState[] = [];
  const edges: ChartEdge[] = [];
  const visit = (node: AnyStateNode): void => {
    for (const child of Object.values(node.states) as AnyStateNode[]) {
      states.push(describeState(node, child));
      visit(child);
    }
    addEdges(node, edges);
  };
  visit(machine.root);
  return { id: machine.id, states, edges };
}

function describeState(parent: AnyStateNode, node: AnyStateNode): ChartState {
  const initial = parent.initial.target?.includes(node) === true;
  return {
    path: pathOf(node),
    key: node.key,
    parent: parent.path.length === 0 ? null : pathOf(parent),
    kind: node.type === "history" ? "atomic" : node.type,
    isInitial: parent.type === "parallel" || initial,
    entry: node.entry.map(nameOf),
    exit: node.exit.map(nameOf),
    invokes: node.invoke.map(({ id }) => id),
  };
}

function addEdges(node: AnyStateNode, edges: ChartEdge[]): void {
  const from = pathOf(node);
  const found = [...node.transitions.values()].flat();
  for (const transition of [...found, ...(node.always ?? [])]) {
    const { eventType } = transition;
    const described = describeEvent(eventType);
    const targets = transition.target ?? [];
    const guard = transition.guard as unknown;
    for (const target of targets.length === 0 ? [null] : targets)
      edges.push({
        id: `e${edges.length}`,
        from,
        to: target === null ? null : pathOf(target),
        event: eventType,
        ...described,
        guard: guard === undefined || guard === null ? null : nameOf(guard),
        actions: transition.actions.map(nameOf),
      });
  }
}

function describeEvent(eventType: string): Pick<ChartEdge, "kind" | "label"> {
  if (eventType === "") return { kind: "always", label: "" };
  const [, what = "", rest = ""] =
    /^xstate\.(after|done\.actor|error\.actor|done\.state)\.(.*)$/s.exec(
      eventType,
    ) ?? [];
  switch (what) {
    case "after":
      return { kind: "delay", label: `after ${rest.split(".")[0] ?? rest}` };
    case "done.actor":
    case "done.state":
      return { kind: "done", label: `done: ${rest}` };
    case "error.actor":
      return { kind: "error", label: `error: ${rest}` };
    default:
      return { kind: "event", label: eventType };
  }
}

function pathOf(node: AnyStateNode): string {
  return node.path.join(".");
}

/** Of an action or a guard: its name in `setup`, or what a built-in one does. */
function nameOf(given: unknown): string {
  if (typeof given === "string") return given;
  if (typeof given === "function")
    return "type" in given && typeof given.type === "string"
      ? given.type.replace(/^xstate\./, "")
      : "condition";
  if (typeof given === "object" && given !== null && "type" in given)
    return String(given.type).replace(/^xstate\./, "");
  return "";
}
