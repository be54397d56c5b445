// ndots on a real API server: run by scripts/real-api, never by scripts/test, for it needs a cluster that it may write to.

import { openCluster, type RealCluster } from "./cluster.ts";
import { accessSuite } from "./access.ts";
import { answersSuite } from "./answers.ts";
import { outageSuite } from "./outage.ts";
import { relistSuite } from "./relist.ts";

describe("on a real API server", function () {
  this.timeout(120_000);
  let cluster: RealCluster;
  const opened = (): RealCluster => cluster;

  before(async () => {
    cluster = await openCluster();
    console.log(`    Kubernetes ${cluster.version}, namespace ${cluster.namespace}`);
  });

  after(() => (cluster as RealCluster | undefined)?.[Symbol.asyncDispose]());

  answersSuite(opened);
  accessSuite(opened);
  outageSuite(opened);
  relistSuite(opened);
});
