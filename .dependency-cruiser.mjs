/**
 * The arrows between the folders. A folder knows as little as it needs, so that the parts that decide (planning,
 * checkpoints, machines) run in a test without a server, a clock or a file. `test/check.test.ts` plants a violation
 * and shows that the alarm rings.
 */

/** Modules of Node that touch the world: files, sockets, processes, threads. */
const io =
  "^(node:)?(fs|fs/promises|net|tls|http|https|http2|dgram|dns|child_process|worker_threads|cluster|sqlite|readline)$";

/** Packages that speak to a server. */
const drivers = "node_modules/(pg|pg-[a-z-]+|mysql2|tedious|kafkajs)/";

/** A rule that `from` may import of our own folders only what `to` names. */
function allowOnly(name, comment, from, to) {
  return {
    name,
    comment,
    severity: "error",
    from: { path: from },
    to: {
      path: "^(proto|partitioning|checkpoint|transport|actors|connectors|daemon|library|deploy|test)/",
      pathNot: to,
    },
  };
}

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    allowOnly(
      "proto-is-the-bottom",
      "proto holds the words that processes share; whatever it imported would be loaded in every process.",
      "^proto/",
      "^proto/",
    ),
    allowOnly(
      "partitioning-is-pure",
      "A plan is a function of what was sampled; its properties are tested over thousands of tables without a server.",
      "^partitioning/",
      "^(partitioning|proto)/",
    ),
    allowOnly(
      "checkpoint-knows-positions-only",
      "When to checkpoint is said by a machine; here is only what a checkpoint means.",
      "^checkpoint/",
      "^(checkpoint|proto)/",
    ),
    {
      name: "checkpoint-io-is-in-store",
      comment:
        "Merging positions is a value in, a value out; store/ is the only part that meets a disk.",
      severity: "error",
      from: { path: "^checkpoint/", pathNot: "^checkpoint/store/" },
      to: { path: "^checkpoint/store/" },
    },
    {
      name: "pure-folders-do-no-io",
      comment:
        "IO in these folders would make their properties depend on the machine they run on.",
      severity: "error",
      from: {
        path: "^(proto|partitioning|checkpoint)/",
        pathNot: "^(checkpoint/store/|proto/generate)",
      },
      to: { path: io, dependencyTypes: ["core"] },
    },
    allowOnly(
      "transport-moves-bytes",
      "The transport knows frames, not what rows mean nor who retries.",
      "^transport/",
      "^(transport|proto)/",
    ),
    allowOnly(
      "machines-name-effects",
      "A machine says what happens next; effects are given by the process that runs it, and by the simulation in tests.",
      "^actors/.+[.]machine[.]ts$",
      "^(actors/.+|partitioning|checkpoint/(?!store/)|proto/)",
    ),
    {
      name: "machines-do-no-io",
      comment:
        "With IO in a machine its transitions could not be computed without running them.",
      severity: "error",
      from: { path: "^actors/.+[.]machine[.]ts$" },
      to: { path: io, dependencyTypes: ["core"] },
    },
    {
      name: "machines-meet-no-effects",
      comment:
        "Importing a process's main or a worker would start it; the arrow is from main to machine.",
      severity: "error",
      from: { path: "^actors/.+[.]machine[.]ts$" },
      to: { path: "^actors/.*(main|worker)[.]ts$" },
    },
    allowOnly(
      "processes-leave-the-daemon-alone",
      "A source or destination process is also an ordinary connector of its own: it must run without the bookkeeper.",
      "^actors/",
      "^(actors|connectors|transport|partitioning|checkpoint/(?!store/)|proto)/?",
    ),
    allowOnly(
      "sources-read-only",
      "A source never sees a destination, a machine or the daemon; another source's quirks are not its own.",
      "^connectors/sources/",
      "^(connectors/(sources|airbyte|json)|transport|partitioning|checkpoint/(?!store/)|proto)/?",
    ),
    {
      name: "sources-are-strangers",
      comment:
        "What two sources share belongs into a pure folder, else a change for one breaks the other.",
      severity: "error",
      from: { path: "^connectors/sources/([^/]+)/" },
      to: {
        path: "^connectors/sources/[^/]+/",
        pathNot: "^connectors/sources/($1|batches|wire)/",
      },
    },
    allowOnly(
      "destinations-write-only",
      "A destination knows batches and formats; where they come from is not its business.",
      "^connectors/destinations/",
      "^(connectors/(destinations|formats|airbyte)|proto)/",
    ),
    {
      name: "destinations-are-strangers",
      comment: "The same as for sources.",
      severity: "error",
      from: { path: "^connectors/destinations/([^/]+)/" },
      to: {
        path: "^connectors/destinations/[^/]+/",
        pathNot: "^connectors/destinations/($1|layout|batching)/",
      },
    },
    allowOnly(
      "airbyte-is-words",
      "Messages in, checked values out: who speaks them, and over what, is a connector's or the daemon's business.",
      "^connectors/airbyte/",
      "^(connectors/(airbyte|json|formats)|transport|proto)/",
    ),
    allowOnly(
      "json-is-bytes",
      "Cutting JSON without making objects of it: what its members mean is known to those who ask.",
      "^connectors/json/",
      "^(connectors/json|proto)/",
    ),
    allowOnly(
      "mappers-change-columns",
      "A mapper knows columns and their bytes; which source they come from is not its business.",
      "^connectors/mappers/",
      "^(connectors/(mappers|formats)|proto)/",
    ),
    allowOnly(
      "channels-join-rows-and-sockets",
      "The loops between a connector and a socket know both, and no machine: what they meet is told to one by a thread.",
      "^connectors/channels/",
      "^(connectors|transport|proto)/",
    ),
    allowOnly(
      "formats-are-bytes",
      "Columns in, bytes out: a format does not know where its bytes go.",
      "^connectors/formats/",
      "^(connectors/formats|proto)/",
    ),
    {
      name: "daemon-loads-no-driver",
      comment:
        "The bookkeeper never touches a row; a driver in its process would be one more thing that can end it.",
      severity: "error",
      // a queue is not a database: its client is the trigger's own
      from: { path: "^daemon/", pathNot: "^daemon/triggers/kafka/" },
      to: { path: drivers },
    },
    allowOnly(
      "daemon-reads-configs",
      "Of a connector the daemon knows its config.ts, how its URL reads and what its files are called; of the formats, what a written file holds.",
      "^daemon/",
      "^(daemon|actors|checkpoint|partitioning|transport|proto|connectors/(formats|airbyte))/|^connectors/.+/(config|config-schema|url|names)[.]ts$|^connectors/(sources/(source|url)|destinations/destination)[.]ts$",
    ),
    {
      name: "drivers-stay-in-their-source",
      comment:
        "Each driver loads only in the process that uses it, and only one folder knows its internals.",
      severity: "error",
      from: {
        path: "^(proto|partitioning|checkpoint|transport|actors|connectors|daemon)/",
        pathNot:
          "^connectors/(sources|destinations)/|^checkpoint/store/|^daemon/triggers/kafka/",
      },
      to: { path: drivers },
    },
    {
      name: "sqlite-is-the-ledger",
      comment: "Only the ledger's store opens a database file.",
      severity: "error",
      from: { pathNot: "^(checkpoint/store|test)/" },
      to: { path: "^(node:)?sqlite$" },
    },
    {
      name: "nothing-imports-test",
      comment:
        "Code that only tests need would be shipped, or break without its fixtures.",
      severity: "error",
      from: { pathNot: "^(test/|vitest[.]config)" },
      to: { path: "^test/" },
    },
    {
      name: "nothing-imports-deploy",
      comment: "The demo uses the project, never the other way round.",
      severity: "error",
      from: { pathNot: "^(test|deploy)/" },
      to: { path: "^deploy/" },
    },
    {
      name: "no-circles",
      comment:
        "Modules in a circle see each other half made. Types are erased, and what is loaded later finds the rest whole: they may.",
      severity: "error",
      from: {},
      to: {
        circular: true,
        viaOnly: { dependencyTypesNot: ["type-only", "dynamic-import"] },
      },
    },
    {
      name: "every-import-resolves",
      comment: "An import that leads nowhere hides an arrow from these rules.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "shipped-code-imports-shipped-packages",
      comment:
        "A development dependency is not there after `npm install millrace`.",
      severity: "error",
      from: {
        path: "^(proto|partitioning|checkpoint|transport|actors|connectors|daemon|library)/",
        pathNot: "^proto/generate",
      },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(dist|out|[.]cache)/" },
    tsConfig: { fileName: "tsconfig.json" },
    // arrows hold for types too: what cannot be named cannot be leaned on
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "types", "default"],
    },
  },
};
