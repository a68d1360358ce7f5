/** Connectors in containers, by a podman that is really there; without one, a recording executable shows its arguments. */
import { expect } from "vitest";
import { entryOf, preparePodman, type Podman } from "../fixtures/podman.ts";
import { readKept } from "./support/airbyte.ts";
import { Destination, signal, waitFor } from "./support/command.ts";
import { test as base } from "./support/fixtures.ts";
import {
  all,
  countDurable,
  readIds,
  ROWS,
  writeSync,
} from "./support/foreign.ts";

interface Contained {
  readonly podman: Podman;
  readonly destination: Destination;
  /** A sync whose source is the image. */
  file(config: object, more?: { source?: object; sync?: object }): string;
}

const test = base.extend<{
  $test: { contained: Contained };
  $file: { prepared: Podman | string };
}>({
  prepared: [
    // eslint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const prepared = preparePodman();
      await use(prepared);
      if (typeof prepared !== "string") prepared.dispose();
    },
    { scope: "file" },
  ],
  contained: async ({ prepared, skip }, use) => {
    if (typeof prepared === "string") return skip(prepared);
    const destination = new Destination(prepared.env);
    const { image, runtimeArguments } = prepared;
    await use({
      podman: prepared,
      destination,
      file: (config, { source, sync } = {}) =>
        writeSync(destination, config, {
          source: {
            ...{ command: undefined, runtime: "podman" },
            ...{ image, runtimeArguments, ...source },
          },
          ...(sync ? { sync } : {}),
        }),
    });
    await destination.dispose();
  },
});

test("images give records over sockets, and take them by stdin", async ({
  contained: { destination, podman, file },
}) => {
  const { root } = destination;
  const path = file(
    { namespace: "shop" },
    {
      // the records of both sockets become one sequence
      source: { architecture: "socket" },
      sync: {
        destination: {
          ...{ image: podman.image, runtime: "podman", config: { path: root } },
          runtimeArguments: [
            ...podman.runtimeArguments,
            `--volume=${root}:${root}`,
            `--entrypoint=${entryOf("destination")}`,
          ],
        },
        format: undefined,
        ledger: destination.ledgerPath,
      },
    },
  );
  const { code, stderr } = await destination.run("sync", "-f", path);
  expect(code, stderr).toBe(0);
  for (const stream of ["shop.users", "shop.orders"])
    expect(new Set(readKept(root, stream)).size).toBe(ROWS);
  expect(podman.listContainers()).toEqual([]);
});

test("a container goes with its run, stopped or killed, and the next one goes on", async ({
  contained: { destination, podman, file },
}) => {
  const path = file({ pause_ms: 4 });
  for (const name of ["SIGINT", "SIGKILL"] as const) {
    const running = destination.start("sync", "-f", path);
    const before = countDurable(running);
    await waitFor("rows", () => countDurable(running) > before);
    expect(podman.listContainers()).toHaveLength(1);
    signal(running.pid, name);
    const { code } = await running.ended;
    expect(code).toBe(name === "SIGINT" ? 130 : null);
    await waitFor("its end", () => podman.listContainers().length === 0);
  }
  const { code, stderr } = await destination.run("sync", "-f", path);
  expect(code, stderr).toBe(0);
  expect(readIds(destination.root, "users")).toEqual(all);
  expect(readIds(destination.root, "orders")).toEqual(all);
  expect(podman.listContainers()).toEqual([]);
});
