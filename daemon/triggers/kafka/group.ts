/**
 * Who else is in the consumer group. Messages are recorded once in a ledger, so two ledgers in one group would record
 * one twice when a partition changes hands: each client's name carries its ledger, and whoever finds another one on
 * joining leaves. The one that was there before goes on.
 */
import type { Admin } from "kafkajs";
import { ExtractError } from "../../../proto/error.ts";

const marker = /\/ledger=([^/]+)\/daemon=([^/]+)$/;

export interface Membership {
  readonly ledgerId: string;
  readonly daemonId: string;
}

/** The name under which brokers and other members see this client. */
export function nameClient(
  prefix: string,
  { ledgerId, daemonId }: Membership,
): string {
  return `${prefix}/ledger=${ledgerId}/daemon=${daemonId}`;
}

export interface GroupMember {
  readonly clientId: string;
  readonly clientHost: string;
}

/** Null where all members share the ledger; the error names one that does not. Pure. */
export function findForeign(
  group: string,
  members: readonly GroupMember[],
  ledgerId: string,
): ExtractError | null {
  const foreign = members.find(
    ({ clientId }) => marker.exec(clientId)?.[1] !== ledgerId,
  );
  if (!foreign) return null;
  const other = marker.exec(foreign.clientId);
  const who = other
    ? `a daemon with another ledger (${other[1]?.slice(0, 100)})`
    : "a client that is no Millrace daemon";
  return new ExtractError(
    "KAFKA_GROUP_FOREIGN",
    `${who} is in the group ${group}: ${foreign.clientId.slice(0, 200)} on ${foreign.clientHost.slice(0, 200)}`,
    { group },
  );
}

/** @throws ExtractError KAFKA_GROUP_FOREIGN; errors of the library */
export async function checkGroup(
  admin: Admin,
  group: string,
  ledgerId: string,
): Promise<void> {
  // without the brokers' list the library finds no coordinator
  await admin.describeCluster();
  const { groups } = await admin.describeGroups([group]);
  const members = groups.flatMap((one) => one.members);
  const foreign = findForeign(group, members, ledgerId);
  if (foreign) throw foreign;
}
