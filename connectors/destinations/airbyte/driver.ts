/** A destination that speaks the Airbyte protocol, as the destination process uses it. */
import type { DestinationDriver } from "../destination.ts";
import { AirbyteStorage } from "./storage.ts";
import { AirbyteWriters, countOutputs, readConfig } from "./writers.ts";

export const airbyteDestinationDriver: DestinationDriver = {
  openStorage: async (context) => new AirbyteStorage(context),
  openWriters: (context, channel) => AirbyteWriters.open(context, channel),
  countOutputs: (context) => countOutputs(readConfig(context)),
};
