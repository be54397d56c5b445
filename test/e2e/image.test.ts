// The image without a container engine: the Dockerfile's runtime stages laid out in a folder, run in namespaces of its
// own as uid 65532 on a read-only root, under the security context of the stock CoreDNS Deployment. Needs root.

import { expect } from "chai";
import { needsPrograms, needsRoot } from "../helpers/needs.ts";
import { containerPrograms, dig, layOutImage, pidOf, startContainer, statusOf, type Image } from "./container.ts";

const NET_BIND_SERVICE = "10"; // linux/capability.h

describe("the image (C126)", function () {
  this.timeout(60_000);
  const images = new Map<string, Image>();

  before(function () {
    needsRoot(this);
    needsPrograms(this, ...containerPrograms);
    for (const variant of ["standard", "nocap"] as const) images.set(variant, layOutImage(variant));
  });

  after(() => {
    for (const image of images.values()) image[Symbol.dispose]();
  });

  const image = (variant: "standard" | "nocap"): Image => images.get(variant) as Image;

  const rows: readonly { title: string; variant: "standard" | "nocap"; capabilities: string; sysctl?: string }[] = [
    {
      title: "runs with all dropped but NET_BIND_SERVICE and no privilege escalation",
      variant: "standard",
      capabilities: NET_BIND_SERVICE,
    },
    {
      title: "nocap: runs with everything dropped where the sysctl allows port 53",
      variant: "nocap",
      capabilities: "-",
      sysctl: "net/ipv4/ip_unprivileged_port_start=0",
    },
  ];
  for (const { title, variant, ...context } of rows) {
    it(`${title}: serves /zones on port 53 without arguments, ends on SIGTERM with 0`, async () => {
      await using running = startContainer(image(variant), context);
      await running.shows(/^ndots-/m);
      const pid = pidOf(running);
      expect(dig(pid, "+short", "kube-dns.kube-system.svc.cluster.local")).to.equal("10.0.0.10\n");
      expect(dig(pid, "+short", "+tcp", "kube-dns.kube-system.svc.cluster.local")).to.equal("10.0.0.10\n");
      expect(statusOf(running))
        .to.match(/^Uid:\t65532\t65532\t65532\t65532$/m)
        .and.match(/^NoNewPrivs:\t1$/m);
      process.kill(pid, "SIGTERM");
      const { code, stdout } = await running.ended;
      expect(stdout).to.include("[INFO] SIGTERM: Shutting down servers then terminating");
      expect(code).to.equal(0);
    });

    it(`${title}: takes -conf in place of its own arguments`, async () => {
      await using running = startContainer(image(variant), { ...context, args: ["-version"] });
      expect(await running.ended).to.deep.include({ code: 0, stderr: "" });
    });
  }

  it("the default can't be executed where NET_BIND_SERVICE is not in the bounding set: what nocap is for", async () => {
    await using running = startContainer(image("standard"), { capabilities: "-", args: ["-version"] });
    const { code, stderr } = await running.ended;
    expect(stderr).to.match(/Operation not permitted/);
    expect(code).to.not.equal(0);
  });
});
