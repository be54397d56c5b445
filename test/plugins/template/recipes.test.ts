// The recipes that people copy: those of CoreDNS's manual, IPv6 addresses left out, a development zone. Each Corefile runs
// as it is, but for a `forward` that loopback can't reach.

import { expect } from "chai";

import { startServer } from "../../../src/index.ts";
import { ask } from "../../../src/testing.ts";

interface Recipe {
  readonly recipe: string;
  readonly corefile: string;
  /** `NAME TYPE` gives an rcode, then the records of answer, authority and additional section. */
  readonly asked: Readonly<Record<string, readonly string[]>>;
}

const IP_10 = "^ip-10-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]example[.]$";

const recipes: readonly Recipe[] = [
  {
    recipe: "everything is NXDOMAIN",
    corefile: ". {\n template ANY ANY {\n rcode NXDOMAIN\n }\n}",
    asked: { "example.org A": ["NXDOMAIN"], ". NS": ["NXDOMAIN"], "a.b.c TYPE65280": ["NXDOMAIN"] },
  },
  {
    recipe: ".invalid is NXDOMAIN, with an SOA and a reason",
    corefile: `. {
      whoami
      template ANY ANY invalid {
        rcode NXDOMAIN
        authority "invalid. 60 {{ .Class }} SOA ns.invalid. hostmaster.invalid. (1 60 60 60 60)"
        ederror 21 "Blocked according to RFC2606"
      }
    }`,
    asked: {
      "any.invalid A": ["NXDOMAIN", "21 Blocked according to RFC2606", "invalid. 60 IN SOA ns.invalid. hostmaster.invalid. 1 60 60 60 60"],
      "invalid TXT": ["NXDOMAIN", "21 Blocked according to RFC2606", "invalid. 60 IN SOA ns.invalid. hostmaster.invalid. 1 60 60 60 60"],
    },
  },
  {
    recipe: "names completed by a search list, by zone",
    corefile: `. {
      template IN ANY example.com.dc1.example.com {
        rcode NXDOMAIN
        authority "{{ .Zone }} 60 IN SOA ns.example.com hostmaster.example.com (1 60 60 60 60)"
      }
    }`,
    asked: {
      "www.example.com.dc1.example.com A": [
        "NXDOMAIN",
        "example.com.dc1.example.com. 60 IN SOA ns.example.com. hostmaster.example.com. 1 60 60 60 60",
      ],
      "www.example.com A": ["REFUSED"],
    },
  },
  {
    recipe: "names completed by a search list, by expression",
    corefile: String.raw`. {
      template IN ANY example.com {
        match "example\.com\.(dc1\.example\.com\.)$"
        rcode NXDOMAIN
        authority "{{ index .Match 1 }} 60 IN SOA ns.{{ index .Match 1 }} hostmaster.{{ index .Match 1 }} (1 60 60 60 60)"
        fallthrough
      }
    }`,
    asked: {
      "www.example.com.dc1.example.com AAAA": [
        "NXDOMAIN",
        "dc1.example.com. 60 IN SOA ns.dc1.example.com. hostmaster.dc1.example.com. 1 60 60 60 60",
      ],
      "www.example.com AAAA": ["REFUSED"],
    },
  },
  {
    recipe: "A and PTR of addresses in names",
    corefile: `. {
      template IN A example {
        match (^|[.])ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]example[.]$
        answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
        fallthrough
      }
      template IN PTR in-addr.arpa {
        match ^(?P<d>[0-9]*)[.](?P<c>[0-9]*)[.](?P<b>[0-9]*)[.](?P<a>[0-9]*)[.]in-addr[.]arpa[.]$
        answer "{{ .Name }} 60 IN PTR ip-{{ .Group.a }}-{{ .Group.b }}-{{ .Group.c }}-{{ .Group.d }}.example."
      }
    }`,
    asked: {
      "ip-192-0-2-7.example A": ["NOERROR", "ip-192-0-2-7.example. 60 IN A 192.0.2.7"],
      "Web.IP-192-0-2-7.Example A": ["NOERROR", "web.ip-192-0-2-7.example. 60 IN A 192.0.2.7"],
      "ip-192-0-2-7.example MX": ["REFUSED"],
      "other.example A": ["REFUSED"],
      "ip-1-2-3-300.example A": ["SERVFAIL"],
      "7.2.0.192.in-addr.arpa PTR": ["NOERROR", "7.2.0.192.in-addr.arpa. 60 IN PTR ip-192-0-2-7.example."],
      "2.0.192.in-addr.arpa PTR": ["SERVFAIL", "0 no regular expression of the template matches"],
    },
  },
  {
    recipe: "addresses in hexadecimal, with parseInt",
    corefile: `. {
      template IN A example {
        match "^ip0a(?P<b>[a-f0-9]{2})(?P<c>[a-f0-9]{2})(?P<d>[a-f0-9]{2})[.]example[.]$"
        answer "{{ .Name }} 60 IN A 10.{{ parseInt .Group.b 16 8 }}.{{ parseInt .Group.c 16 8 }}.{{ parseInt .Group.d 16 8 }}"
        fallthrough
      }
    }`,
    asked: {
      "ip0a7b7b7b.example A": ["NOERROR", "ip0a7b7b7b.example. 60 IN A 10.123.123.123"],
      "ip0a00ff10.example A": ["NOERROR", "ip0a00ff10.example. 60 IN A 10.0.255.16"],
      "ip0bffffff.example A": ["REFUSED"],
    },
  },
  {
    recipe: "several patterns for one answer",
    corefile: `. {
      template IN A example {
        match "^ip-(?P<a>10)-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]dc[.]example[.]$"
        match "^(?P<a>[0-9]*)[.](?P<b>[0-9]*)[.](?P<c>[0-9]*)[.](?P<d>[0-9]*)[.]ext[.]example[.]$"
        answer "{{ .Name }} 60 IN A {{ .Group.a}}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
        fallthrough
      }
    }`,
    asked: {
      "ip-10-0-0-7.dc.example A": ["NOERROR", "ip-10-0-0-7.dc.example. 60 IN A 10.0.0.7"],
      "192.0.2.7.ext.example A": ["NOERROR", "192.0.2.7.ext.example. 60 IN A 192.0.2.7"],
      "ip-11-0-0-7.dc.example A": ["REFUSED"],
    },
  },
  {
    recipe: "A and MX by two templates",
    corefile: `. {
      template IN A example {
        match ${IP_10}
        answer "{{ .Name }} 60 IN A 10.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
        fallthrough
      }
      template IN MX example {
        match ${IP_10}
        answer "{{ .Name }} 60 IN MX 10 {{ .Name }}"
        additional "{{ .Name }} 60 IN A 10.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
        fallthrough
      }
    }`,
    asked: {
      "ip-10-0-0-7.example A": ["NOERROR", "ip-10-0-0-7.example. 60 IN A 10.0.0.7"],
      "ip-10-0-0-7.example MX": [
        "NOERROR",
        "ip-10-0-0-7.example. 60 IN MX 10 ip-10-0-0-7.example.",
        "ip-10-0-0-7.example. 60 IN A 10.0.0.7",
      ],
      "ip-10-0-0-7.example TXT": ["REFUSED"],
    },
  },
  {
    recipe: "name servers in the authority section",
    corefile: `. {
      template IN A example {
        match ${IP_10}
        answer "{{ .Name }} 60 IN A 10.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
        authority  "example. 60 IN NS ns0.example."
        authority  "example. 60 IN NS ns1.example."
        additional "ns0.example. 60 IN A 203.0.113.8"
        additional "ns1.example. 60 IN A 198.51.100.8"
        fallthrough
      }
    }`,
    asked: {
      "ip-10-0-0-7.example A": [
        "NOERROR",
        "ip-10-0-0-7.example. 60 IN A 10.0.0.7",
        "example. 60 IN NS ns0.example.",
        "example. 60 IN NS ns1.example.",
        "ns0.example. 60 IN A 203.0.113.8",
        "ns1.example. 60 IN A 198.51.100.8",
      ],
    },
  },
  {
    recipe: "a CNAME made up, its target asked of the server block",
    corefile: String.raw`. {
      template IN ANY foogle.com {
        match "^foogle\.com\.$"
        answer "foogle.com 60 IN CNAME google.com"
      }
      hosts none {
        192.0.2.1 google.com
      }
    }`,
    asked: {
      "foogle.com A": ["NOERROR", "foogle.com. 60 IN CNAME google.com.", "google.com. 3600 IN A 192.0.2.1"],
      "foogle.com CNAME": ["NOERROR", "foogle.com. 60 IN CNAME google.com."],
      "www.foogle.com A": ["SERVFAIL", "0 no regular expression of the template matches"],
    },
  },
  {
    recipe: "no AAAA outside the cluster: NODATA, which musl takes for what it is",
    corefile: `
      cluster.local {
        kubernetes cluster.local
      }
      . {
        template IN AAAA {
          authority "{{ .Name }} 30 IN SOA ns.invalid. hostmaster.invalid. (1 7200 1800 86400 30)"
        }
        template IN A {
          answer "{{ .Name }} 30 A 192.0.2.1"
        }
      }`,
    asked: {
      "www.example.org AAAA": ["NOERROR", "www.example.org. 30 IN SOA ns.invalid. hostmaster.invalid. 1 7200 1800 86400 30"],
      "www.example.org A": ["NOERROR", "www.example.org. 30 IN A 192.0.2.1"],
      "dns-version.cluster.local TXT": ["NOERROR", 'dns-version.cluster.local. 28800 IN TXT "1.1.0"'],
    },
  },
  {
    recipe: "no AAAA at all, as it is often written: NXDOMAIN, for AAAA alone",
    corefile: `. {
      template ANY AAAA {
        rcode NXDOMAIN
      }
      kubernetes cluster.local
    }`,
    asked: {
      "www.example.org AAAA": ["NXDOMAIN"],
      "dns-version.cluster.local AAAA": ["NXDOMAIN"],
      "dns-version.cluster.local TXT": ["NOERROR", 'dns-version.cluster.local. 28800 IN TXT "1.1.0"'],
    },
  },
  {
    recipe: "a development zone: every name at one address",
    corefile: `. {
      template IN A dev.example.org {
        answer "{{ .Name }} 60 IN A 192.0.2.10"
      }
      template IN AAAA dev.example.org {
        answer "{{ .Name }} 60 IN AAAA 2001:db8::10"
      }
      template IN ANY dev.example.org {
        authority "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} hostmaster.{{ .Zone }} 1 3600 600 86400 30"
      }
    }`,
    asked: {
      "web.dev.example.org A": ["NOERROR", "web.dev.example.org. 60 IN A 192.0.2.10"],
      "a.b.c.dev.example.org AAAA": ["NOERROR", "a.b.c.dev.example.org. 60 IN AAAA 2001:db8::10"],
      "dev.example.org A": ["NOERROR", "dev.example.org. 60 IN A 192.0.2.10"],
      "web.dev.example.org MX": [
        "NOERROR",
        "dev.example.org. 60 IN SOA ns.dev.example.org. hostmaster.dev.example.org. 1 3600 600 86400 30",
      ],
      "example.org A": ["REFUSED"],
    },
  },
  {
    recipe: "a development zone: the namespace chosen by the name",
    corefile: `. {
      template IN ANY dev.example.org {
        match ^(?P<service>[a-z0-9-]+)[.](?P<namespace>[a-z0-9-]+)[.]dev[.]example[.]org[.]$
        answer "{{ .Name }} 5 IN CNAME {{ .Group.service }}.{{ .Group.namespace }}.svc.cluster.local."
        fallthrough
      }
      hosts none {
        10.0.0.7 web.shop.svc.cluster.local
      }
    }`,
    asked: {
      "web.shop.dev.example.org A": [
        "NOERROR",
        "web.shop.dev.example.org. 5 IN CNAME web.shop.svc.cluster.local.",
        "web.shop.svc.cluster.local. 3600 IN A 10.0.0.7",
      ],
    },
  },
];

describe("plugins/template: recipes", () => {
  for (const { recipe, corefile, asked } of recipes) {
    it(recipe, async () => {
      await using dns = await startServer({ corefile, address: "127.0.0.1", port: 0 });
      for (const [question, expected] of Object.entries(asked)) {
        const [name = "", type = ""] = question.split(" ");
        const { rcode, ede, answer, authority, additional } = await ask(dns.address, name, type);
        const reason = ede === undefined ? [] : [`${ede.code} ${ede.text}`];
        expect([rcode, ...reason, ...answer, ...authority, ...additional], question).to.deep.equal(expected);
      }
    });
  }
});
