/** Parts of kafkajs beneath its consumer, which have no declarations: what is used of them is said where it is used. */
declare module "kafkajs/src/cluster/index.js" {
  const Cluster: new (options: object) => object;
  export default Cluster;
}
declare module "kafkajs/src/consumer/batch.js" {
  const Batch: new (topic: string, offset: string, data: object) => object;
  export default Batch;
}
declare module "kafkajs/src/network/socketFactory.js" {
  const createSocketFactory: () => object;
  export default createSocketFactory;
}
