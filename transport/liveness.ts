/**
 * A channel's heartbeat: a probe whenever nothing was sent for a while, and the alarm when nothing was received for
 * longer. Time is counted in ticks of our own timer, so that a process that was itself stopped or busy does not take its
 * own absence for the peer's.
 */
export interface LivenessOptions {
  /** A probe is sent after this long without another frame. */
  readonly probeMs: number;
  /** The peer counts as stalled after this long without a byte from it. */
  readonly probeDeadlineMs: number;
}

interface LivenessEffects {
  /** Nothing was sent since the last tick. */
  sendProbe(): void;
  /** False while silence proves nothing, because we do not listen. */
  isListening(): boolean;
  /** No byte for probeDeadlineMs. Called once. */
  onSilent(): void;
  /** Each tick, with its length. */
  onTick?(tickMs: number): void;
}

export class Liveness {
  readonly #timer: NodeJS.Timeout;
  #sent = true;
  #silentMs = 0;

  constructor(
    { probeMs, probeDeadlineMs }: LivenessOptions,
    effects: LivenessEffects,
  ) {
    // four ticks to a deadline, so that one late probe is no alarm
    const tickMs = Math.max(1, Math.min(probeMs, probeDeadlineMs / 4));
    this.#timer = setInterval(() => {
      effects.onTick?.(tickMs);
      if (!this.#sent) effects.sendProbe();
      this.#sent = false;
      if (!effects.isListening()) {
        this.#silentMs = 0;
        return;
      }
      if (this.#silentMs >= probeDeadlineMs) {
        this.stop();
        effects.onSilent();
      }
      this.#silentMs += tickMs;
    }, tickMs);
    this.#timer.unref();
  }

  noteSent(): void {
    this.#sent = true;
  }

  noteReceived(): void {
    this.#silentMs = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
