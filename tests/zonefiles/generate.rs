//! Sound zone files of every form and type, made from a seed.

/// Numbers from a seed (xorshift64*).
pub(crate) struct Chance(u64);

impl Chance {
    /// File `number` of `seed`.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number << 20 | 1);
        for _ in 0..4 {
            chance.below(2);
        }
        chance
    }

    /// A number from 0 up to, not including, `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A zone file and the file `part.inc` that it may include.
pub(crate) struct Made {
    pub(crate) text: String,
    pub(crate) included: String,
}

/// Types every peer knows, with the data of each; see [`field`] for what stands in braces.
const COMMON: &[(&str, &str)] = &[
    ("A", "{a}"),
    ("A", "{a}"),
    ("AAAA", "{aaaa}"),
    ("MX", "{u16} {n}"),
    ("TXT", "{txts}"),
    ("SPF", "{txts}"),
    ("PTR", "{n}"),
    ("HINFO", "{txt} {txt}"),
    ("MINFO", "{n} {n}"),
    ("RP", "{n} {n}"),
    ("AFSDB", "{u16} {n}"),
    ("RT", "{u16} {n}"),
    ("KX", "{u16} {n}"),
    ("SRV", "{u16} {u16} {u16} {n}"),
    ("NAPTR", "{u16} {u16} \"{w}\" \"{w}\" \"\" {n}"),
    ("NAPTR", "{u16} {u16} {w} \"E2U+sip\" \"!^.*$!sip:i@e.org!\" ."),
    ("LOC", "{d90} {m60} {s60} {NS} {d180} {m60} {s60} {EW} {alt}"),
    ("LOC", "{d90} {NS} {d180} {m60} {EW} {alt} {size}"),
    ("LOC", "{d90} {m60} {NS} {d180} {EW} {alt} {size} {size}"),
    ("LOC", "{d90} {m60} {s60} {NS} {d180} {m60} {s60} {EW} {alt} {size} {size} {size}"),
    ("APL", "{apl}"),
    ("APL", "{apl} {apl} {apl}"),
    ("DHCID", "{b64}"),
    ("CERT", "PKIX {u16} {alg} {b64}"),
    ("CERT", "{u16} {u16} {u8} {b64}"),
    ("SSHFP", "{u8} 1 {hex20}"),
    ("SSHFP", "4 2 {hex32}"),
    ("IPSECKEY", "{u8} 0 2 . {b64}"),
    ("IPSECKEY", "{u8} 1 2 {a} {b64}"),
    ("IPSECKEY", "{u8} 2 2 {aaaa} {b64}"),
    ("IPSECKEY", "{u8} 3 2 {n} {b64}"),
    ("TLSA", "{tl} {bit} 1 {hex32}"),
    ("SMIMEA", "{tl} {bit} 2 {hex64}"),
    ("OPENPGPKEY", "{b64}"),
    ("CDS", "{u16} 13 2 {hex32}"),
    ("CDNSKEY", "257 3 13 {b64}"),
    ("CSYNC", "{u32} {tl} {types}"),
    ("ZONEMD", "{u32} 1 1 {hex48}"),
    ("NID", "{u16} {loc}"),
    ("L32", "{u16} {a}"),
    ("L64", "{u16} {loc}"),
    ("LP", "{u16} {n}"),
    ("EUI48", "{eui6}"),
    ("EUI64", "{eui8}"),
    ("URI", "{u16} {u16} \"https://{w}.example/\""),
    ("CAA", "{bit} issue \"{w}.example\""),
    ("CAA", "128 {tag} \"{w}; a=b\""),
    ("CAA", "0 iodef mailto:{w}@example.net"),
    ("HTTPS", "1 . {svc}"),
    ("HTTPS", "{pos} {n} {svc}"),
    ("SVCB", "{pos} {n} {svc}"),
    ("SVCB", "0 {n}"),
    ("KEY", "256 3 5 {b64}"),
    ("TYPE65280", "\\# 4 {hex4}"),
    ("TYPE65281", "\\# 0"),
    ("TYPE65282", "\\# 6 {hex2} {hex4}"),
    ("A", "\\# 4 {hex4}"),
    ("TYPE1", "\\# 4 {hex4}"),
    ("TXT", "\\# 3 02{hex2}"),
];

/// Types some peers do not know, or read with checks that hang on other records.
const RARE: &[(&str, &str)] = &[
    ("DNSKEY", "257 3 ECDSAP256SHA256 {b64}"),
    ("NSEC", "{n} {types}"),
    ("RRSIG", "A {alg} 3 3600 20300101000000 20200101000000 {u16} {n} {b64}"),
    ("NSEC3PARAM", "1 0 {u8} {hex4}"),
    ("HIP", "2 {hex16} {b64} {n}"),
    ("AVC", "{txts}"),
    ("X25", "{u32}5555"),
    ("ISDN", "\"150862028003217\" \"004\""),
    ("PX", "{u16} {n} {n}"),
    ("GPOS", "-32.6882 116.8652 10.0"),
    ("NSAP", "0x47.0005.80.005a00.0000.0001.e133.ffffff000162.00"),
    ("NSAP-PTR", "{n}"),
    ("WKS", "{a} TCP 25 80 443"),
    ("MB", "{n}"),
    ("MG", "{n}"),
    ("MR", "{n}"),
    ("NINFO", "{txts}"),
    ("RKEY", "0 {u8} {u8} {b64}"),
    ("TALINK", "{n} {n}"),
    ("TA", "{u16} {u8} 2 {hex32}"),
    ("DLV", "{u16} {u8} 2 {hex32}"),
    ("DOA", "{u32} {u32} {u8} \"text/plain\" {b64}"),
    ("AMTRELAY", "{u8} {bit} 1 {a}"),
    ("AMTRELAY", "{u8} {bit} 0 ."),
    ("AMTRELAY", "{u8} {bit} 3 {n}"),
    ("SINK", "{u8} {u8} {u8} {b64}"),
    ("EID", "{hex16}"),
    ("NIMLOC", "{hex16}"),
    ("ATMA", "+61200000000"),
    ("SIG", "A 5 3 3600 20300101000000 20200101000000 {u16} {n} {b64}"),
    ("A6", "64 ::{u8}:1 {n}"),
    ("MD", "{n}"),
];

/// A file of a dozen records.
pub(crate) fn zone(chance: &mut Chance) -> Made {
    let mut text = String::new();
    let mut included = String::new();
    if !chance.one_in(8) {
        text += &format!("$TTL {}\n", ttl(chance));
    }
    text += "@ 1h IN SOA ns1 hostmaster";
    let numbers = ["2026112101", "1h", "900", "2w", "5m"];
    if chance.one_in(2) {
        text += &format!(" ( {} ; serial\n 7200 30m\n 1209600 ) 300\n", chance.below(1 << 31));
    } else {
        text += &format!(" {}\n", numbers.join(" "));
    }
    text += chance.of(&[" NS ns1\n", "@ IN NS ns1\n", "example.org. NS ns1.example.org.\n"]);
    text += "ns1 A 192.0.2.53\n";
    if chance.one_in(3) {
        text += " AAAA 2001:db8::53\n";
    }
    for number in 0..1 + chance.below(9) {
        match chance.below(24) {
            0 => text += &format!("$ORIGIN {}\n", chance.of(&["example.org.", "sub.example.org."])),
            1 => text += &format!("$TTL {} ; for what follows\n", ttl(chance)),
            2 => {
                text += chance.of(&["$INCLUDE part.inc\n", "$INCLUDE part.inc inc.example.org.\n"]);
                included = format!("inner{number} 60 A {}\n", field(chance, "a"));
            }
            3 => text += &generated(chance, number),
            4 => text += chance.of(&["\n", "; a comment\n", "   ; a blank\n", "\t\n"]),
            5 => text += &format!("alias{number} CNAME {}\n", field(chance, "n")),
            6 => text += &format!("cut{number} NS ns.example.net.\n"),
            7 => text += &format!("dname{number} DNAME {}\n", field(chance, "n")),
            8 => text += &record(chance, RARE, number),
            _ => text += &record(chance, COMMON, number),
        }
    }
    if chance.one_in(10) {
        text.pop();
    }
    if chance.one_in(12) {
        text = text.replace('\n', "\r\n");
    }
    Made { text, included }
}

fn ttl(chance: &mut Chance) -> &'static str {
    chance.of(&["3600", "1h", "1h30m", "2W", "0", "86400", "1d12h", "300", "1H", "5M10S"])
}

fn generated(chance: &mut Chance, number: usize) -> String {
    let range = chance.of(&["1-4", "0-8/2", "10-12", "0-0"]);
    let owner = chance.of(&["g", "gen-", "x.y"]);
    let line = chance.of(&[
        "$ A 192.0.2.$",
        "${0,3,d} A 192.0.2.${1}",
        "$ 60 A 192.0.2.$",
        "$ CNAME host-${10,4,x}",
        "$ IN PTR host$.example.net.",
        "$ MX \"10 mail$\"",
        "$ AAAA 2001:db8::${0,4,x}",
        "${0,2,n} CNAME t",
    ]);
    format!("$GENERATE {range} {owner}{number}{line}\n")
}

/// A record line of one of `templates`, written in one of many ways.
fn record(chance: &mut Chance, templates: &[(&str, &str)], number: usize) -> String {
    let (rtype, template) = chance.of(templates);
    let owner = match chance.below(12) {
        0 => "@".to_owned(),
        1 => String::new(),
        2 => format!("r{number}.example.org."),
        3 => format!("R{number}.Deep.er"),
        4 => format!("*.w{number}"),
        5 => format!("e{number}\\046x"),
        6 => format!("_443._tcp.r{number}"),
        7 => format!("n{number}\\000\\255"),
        _ => format!("r{number}"),
    };
    let (ttl, class) = (ttl(chance), chance.of(&["IN", "in", "IN", "CLASS1"]));
    let head = match chance.below(8) {
        0 => format!("{ttl} {class} "),
        1 => format!("{class} {ttl} "),
        2 => format!("{class} "),
        3 => format!("{ttl} "),
        _ => String::new(),
    };
    let rtype = if chance.one_in(8) { rtype.to_lowercase() } else { rtype.to_owned() };
    let mut rdata = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').expect("a closing brace");
        rdata += before;
        rdata += &field(chance, name);
        rest = after;
    }
    rdata += rest;
    // Blanks inside quotes are kept as they are: then the data is not broken up.
    let breakable = !rdata.contains('"') && !rdata.contains('\\');
    let rdata = match chance.below(10) {
        0 => format!("( {rdata} )"),
        1 if breakable => {
            rdata.replacen(' ', " ( ; more\n   ", 1) + if rdata.contains(' ') { "\n )" } else { "" }
        }
        2 if breakable => rdata.replace(' ', "\t "),
        3 => format!("{rdata} ; said {number}"),
        _ => rdata,
    };
    format!("{owner} {head}{rtype} {rdata}\n")
}

/// The text of a field, one of many.
fn field(chance: &mut Chance, name: &str) -> String {
    let number = |chance: &mut Chance, most: usize| {
        if chance.one_in(10) { most } else { chance.below(most + 1) }.to_string()
    };
    match name {
        "a" => format!("192.0.2.{}", number(chance, 255)),
        "aaaa" => chance
            .of(&["2001:db8::1", "::", "::1", "2001:DB8:0:0:1::7", "::ffff:192.0.2.1", "fe80::1:2"])
            .to_owned(),
        "n" => chance
            .of(&[
                "host",
                "@",
                ".",
                "a.b.example.net.",
                "ns1",
                "UPPER.example.NET.",
                "x\\046y",
                "under_score",
                "d\\100.example.net.",
                "*.star",
                "1.2.3.4.in-addr.arpa.",
            ])
            .to_owned(),
        "w" => chance.of(&["u", "S", "abc", "x1"]).to_owned(),
        "tag" => chance.of(&["issue", "issuewild", "iodef", "tbs", "ISSUE"]).to_owned(),
        "bit" => number(chance, 1),
        "tl" => number(chance, 3),
        "u8" => number(chance, 255),
        "u16" => number(chance, 65535),
        "u32" => number(chance, 4_294_967_295),
        "pos" => (1 + chance.below(65535)).to_string(),
        "alg" => chance.of(&["5", "8", "13", "RSASHA256", "ECDSAP256SHA256", "15"]).to_owned(),
        "txt" => chance
            .of(&[
                "\"a b\"",
                "plain",
                "\"\"",
                "\"semi;colon\"",
                "\\\"q\\\"",
                "\"\\\"in\\\"\"",
                "\"\\065\\200\"",
                "x\\;y",
            ])
            .to_owned(),
        "txts" => {
            let texts: Vec<String> =
                (0..1 + chance.below(3)).map(|_| field(chance, "txt")).collect();
            if chance.one_in(12) { format!("\"{}\"", "x".repeat(255)) } else { texts.join(" ") }
        }
        "d90" => number(chance, 89),
        "d180" => number(chance, 179),
        "m60" => number(chance, 59),
        "s60" => chance.of(&["0", "12.5", "59.999", "7", "30.25"]).to_owned(),
        "NS" => chance.of(&["N", "S"]).to_owned(),
        "EW" => chance.of(&["E", "W"]).to_owned(),
        "alt" => {
            chance.of(&["10m", "-24m", "0", "100000.00m", "-99.5m", "42849672.95m"]).to_owned()
        }
        "size" => chance.of(&["1m", "10m", "100.00m", "0.5", "30m", "10000m", "0m"]).to_owned(),
        "apl" => chance
            .of(&[
                "1:192.0.2.0/24",
                "!1:192.0.2.128/25",
                "2:2001:db8::/32",
                "1:0.0.0.0/0",
                "!2:ff00::/8",
                "1:10.1.2.3/32",
            ])
            .to_owned(),
        "loc" => chance.of(&["2001:db8:1140:1000", "14:4fff:ff20:ee64", "0:0:0:1"]).to_owned(),
        "eui6" => "00-00-5e-00-53-2A".to_owned(),
        "eui8" => "00-00-5e-ef-10-00-00-2a".to_owned(),
        "types" => {
            chance.of(&["A", "A NS SOA", "A MX TYPE1234 AAAA", "NS TXT", "CAA A"]).to_owned()
        }
        "svc" => chance
            .of(&[
                "alpn=h2,h3",
                "alpn=\"h2,h3\" port=443",
                "port=8443 alpn=h2 no-default-alpn",
                "ipv4hint=192.0.2.1,192.0.2.2",
                "ipv6hint=2001:db8::1",
                "key667=hello",
                "key667=\"hello\\210qoo\"",
                "mandatory=alpn,ipv4hint alpn=h2 ipv4hint=192.0.2.1",
                "mandatory=ipv4hint,alpn alpn=h2 ipv4hint=192.0.2.1",
                "ech=Zm9v",
                "key65000",
                "alpn=f\\\\\\\\oo\\\\,bar,h2",
                "alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
            ])
            .to_owned(),
        "b64" => {
            let groups = ["Zm9v", "AwEA", "+/Aa", "mQIN", "QNRU"];
            let text: Vec<&str> = (0..12).map(|_| chance.of(&groups)).collect();
            let text = text.join("");
            if chance.one_in(6) { text + "Zg==" } else { text }
        }
        _ => {
            let octets: usize = name.strip_prefix("hex").expect("a field").parse().expect("octets");
            (0..octets * 2).map(|_| chance.of(&['0', '3', '7', 'a', 'F', 'c'])).collect()
        }
    }
}
