/** A channel's worker in the thread of those who have started it, behind what looks like a thread of its own. */
import type {
  ChannelPort,
  ChannelThread,
  ChannelThreadEvents,
  Hosted,
} from "../surroundings.ts";

/**
 * Messages are copied and come in a later turn of the loop, as between threads: buffers that are used again, and steps
 * of machines that are under way, are safe from each other.
 */
export function hostChannel<Order, Fact>(
  begin: (port: ChannelPort<Order, Fact>) => Hosted,
  events: ChannelThreadEvents<Fact>,
): ChannelThread<Order> {
  let isOver = false;
  let listen: (order: Order) => void = () => {};
  const later = <Message>(
    message: Message,
    deliver: (message: Message) => void,
  ): void => {
    const copy = structuredClone(message);
    setImmediate(() => {
      if (!isOver) deliver(copy);
    });
  };
  const hosted = begin({
    postMessage: (fact) => later(fact, events.onMessage),
    onMessage: (listener) => {
      listen = listener;
    },
  });
  return {
    postMessage: (order) => later(order, (copy) => listen(copy)),
    terminate: async () => {
      if (isOver) return;
      isOver = true;
      await hosted.destroy();
      setImmediate(() => events.onExit());
    },
  };
}
