/** The one-file bundle that the codecs import has no declarations of its own; `import type` of the package's are the same. */
declare module "protobufjs/dist/minimal/protobuf.min.js" {
  import type * as runtime from "protobufjs/minimal.js";
  const bundle: typeof runtime;
  export default bundle;
}
