/** How the channels are opened, shared among the readers, and ended. */
import { assign, enqueueActions } from "xstate";
import { reaches } from "../../proto/log-budget.ts";
import { enqueueNamed, tell } from "../enqueue.ts";
import { sourceProcessBase } from "./source-process-base.ts";
import { without, type Discovered } from "./source-process-context.ts";

export const withChannels = sourceProcessBase.extend({
  actions: {
    openChannel: enqueueActions(({ context, enqueue }) => {
      const settings = context.settings;
      // a process that is only asked about its source has no channel
      const opened = context.channelsOpened - (context.log ? 1 : 0);
      if (!settings || settings.channelsMax <= opened) return;
      const channel = context.channelsOpened + 1;
      enqueue.assign({ channelsOpened: channel });
      enqueue.spawnChild("channel", {
        id: `channel:${channel}`,
        systemId: `channel:${channel}`,
        input: { channel, connectDeadlineMs: settings.times.handshakeMs },
      });
      enqueueNamed(enqueue, { type: "startWorker", params: { channel } });
    }),
    limitChannels: assign({
      settings: ({ context }, { channelsMax }: Discovered) =>
        context.settings && { ...context.settings, channelsMax },
    }),
    // gives waiting readers to idle channels, up to the governor's target; opens one more channel when all are busy
    dispatch: enqueueActions(({ context, enqueue, system }) => {
      const settings = context.settings;
      if (!settings || context.queue.length === 0) return;
      // one reader is enough beside a log that is in a hurry
      const isHurried =
        context.log !== null && reaches(context.log.step, "hurry");
      const target = isHurried
        ? 1
        : Math.min(context.readersTarget, settings.channelsMax);
      let queue = context.queue;
      const channels = { ...context.channels };
      let active = Object.values(channels).filter((key) => key !== null).length;
      for (const channel of Object.keys(channels).map(Number)) {
        const next = queue[0];
        if (!next || active >= target) break;
        if (channels[channel] !== null) continue;
        if (context.pausedChannels.includes(channel)) continue;
        channels[channel] = next.key;
        queue = queue.slice(1);
        active += 1;
        tell(enqueue, system.get(`channel:${channel}`), {
          type: "channel.occupy",
          key: next.key,
        });
        tell(enqueue, system.get(`reader:${next.key}`), {
          type: "channel.assigned",
          channel,
        });
      }
      enqueue.assign({ queue, channels });
      const wanted = Math.min(target, active + queue.length);
      const opened = context.channelsOpened - (context.log ? 1 : 0);
      if (wanted > opened - context.channelsLost.length)
        enqueueNamed(enqueue, { type: "openChannel" });
    }),
    noteIdle: assign({
      channels: ({ context }, { channel }: { channel: number }) =>
        context.log?.channel === channel ||
        context.channelsLost.includes(channel)
          ? without(context.channels, `${channel}`)
          : { ...context.channels, [channel]: null },
    }),
    // the last one stays: its next read says by name what has happened
    noteLost: assign({
      channelsLost: ({ context }, { channel }: { channel: number }) => {
        const { channelsLost, settings } = context;
        const isLast = channelsLost.length + 1 >= (settings?.channelsMax ?? 0);
        return isLast || channelsLost.includes(channel)
          ? channelsLost
          : [...channelsLost, channel];
      },
    }),
    tellConnected: enqueueActions(
      ({ enqueue }, params: { channel: number; first: boolean }) => {
        if (!params.first) return;
        enqueueNamed(enqueue, {
          type: "report",
          params: { type: "channel.connected", channel: params.channel },
        });
      },
    ),
    freeChannel: enqueueActions(
      (
        { context, enqueue, system },
        params: { channel: number | null | undefined },
      ) => {
        const channel = params.channel;
        if (
          channel === null ||
          channel === undefined ||
          context.channels[channel] === undefined
        )
          return;
        // free for others only by its channel.idle: marked here, it could be given away twice
        tell(enqueue, system.get(`channel:${channel}`), {
          type: "channel.release",
        });
      },
    ),
    finishChannels: enqueueActions(({ context, enqueue, system }) => {
      for (let channel = 1; channel <= context.channelsOpened; channel += 1) {
        const actor = system.get(`channel:${channel}`);
        tell(enqueue, actor, { type: "channel.finish" });
      }
    }),
  },
});
