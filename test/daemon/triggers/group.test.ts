import { expect, test } from "vitest";
import {
  findForeign,
  nameClient,
} from "../../../daemon/triggers/kafka/group.ts";

const member = (clientId: string) => ({ clientId, clientHost: "/10.0.0.7" });
const daemon = (ledgerId: string, daemonId: string) =>
  member(nameClient("millrace", { ledgerId, daemonId }));

test.for([
  { name: "nobody", members: [], reason: null },
  {
    name: "daemons with the same ledger",
    members: [daemon("a", "1"), daemon("a", "2")],
    reason: null,
  },
  {
    name: "a daemon with another ledger",
    members: [daemon("a", "1"), daemon("b", "2")],
    reason:
      /a daemon with another ledger \(b\) is in the group g: .*10\.0\.0\.7/,
  },
  {
    name: "a daemon whose ledger's name begins alike",
    members: [daemon("ab", "1")],
    reason: /another ledger \(ab\)/,
  },
  {
    name: "a client that is no daemon",
    members: [daemon("a", "1"), member("kafkajs")],
    reason: /a client that is no Millrace daemon is in the group g: kafkajs/,
  },
])("in a group with $name", ({ members, reason }) => {
  const foreign = findForeign("g", members, "a");
  if (reason === null) expect(foreign).toBeNull();
  else expect(foreign?.message).toMatch(reason);
});
