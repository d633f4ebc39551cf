//! Zones and policies of two nodes, published to one of them and fetched by the other over a direct
//! bus; refused, taken back, and served from disk.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use meridian::bundle::{Contents, Hash, Release};
use meridian::seal::SigningKey;

use crate::support::{Daemon, Ended, Site, run, until, until_so, zone};

/// A port that was free a moment ago: nodes must know each other's before they start.
fn port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Two nodes that follow bundles and orders of `ops`, and the folder of the authority and of keys.
pub(crate) struct Fleet {
    keys: tempfile::TempDir,
    pub(crate) nodes: [Site; 2],
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let keys = tempfile::tempdir().expect("a folder");
        let at = |name: &str| keys.path().join(name).to_str().expect("UTF-8").to_owned();
        assert_eq!(run(&["pki", "init", text(keys.path())]).code, 0);
        let made = run(&["key", "generate", &at("ops.key")]);
        let public = made.out.trim().trim_start_matches("key = ");
        let addresses = [port(), port()];
        let nodes = [0, 1].map(|own: usize| {
            let name = ["ams-1", "sin-1"][own];
            assert_eq!(run(&["pki", "issue", text(keys.path()), name, "--node"]).code, 0);
            let site = Site::new();
            site.write(
                "meridian.toml",
                format!(
                    "listen = [\"127.0.0.1:0\"]\nworkers = 1\napi = \"127.0.0.1:0\"\n\
                     [bus]\nkind = \"direct\"\nlisten = \"{}\"\n\
                     nodes = {{ ams-1 = \"{}\", sin-1 = \"{}\" }}\n\
                     certificate = \"{}\"\nkey = \"{}\"\nauthority = \"{}\"\n\
                     [orders]\noperators = {{ ops = {public} }}\n\
                     [bundle]\npublishers = {{ ops = {public} }}\n",
                    addresses[own],
                    addresses[0],
                    addresses[1],
                    at(&format!("{name}.pem")),
                    at(&format!("{name}.key")),
                    at("authority.pem"),
                ),
            );
            site
        });
        Self { keys, nodes }
    }

    /// The file of the key of `ops`.
    pub(crate) fn key(&self) -> String {
        self.keys.path().join("ops.key").to_str().expect("UTF-8").to_owned()
    }

    fn publish(&self, node: &Daemon, folder: &Path) -> Ended {
        let key = self.key();
        let args = ["bundle", "publish", text(folder), "--key", &key, "--as", "ops", "--note", "x"];
        node.run(&args)
    }
}

/// The serial of the bundle and of the zone that a node serves.
fn serves(node: &Daemon) -> (Option<u64>, u32) {
    let status = node.status();
    let own = status.bundle.and_then(|bundle| bundle.nodes.into_iter().next());
    (own.and_then(|own| own.serial), status.zones[0].serial)
}

fn post(node: &Daemon, octets: &[u8]) -> String {
    node.post("/v1/bundle", octets)
}

#[test]
fn a_bundle_reaches_every_node_and_is_taken_back() {
    let fleet = Fleet::new();
    let source = Site::new();
    let (ams, sin) = (fleet.nodes[0].serve(), fleet.nodes[1].serve());
    assert_eq!(serves(&ams), (None, 1));

    source.write("zones/example.org.zone", zone(20, ""));
    let published = fleet.publish(&ams, source.path());
    assert!(published.out.contains("1 is served here"), "{}{}", published.out, published.err);
    assert_eq!(serves(&ams), (Some(1), 20));
    until_so("the other node to serve it", || serves(&sin) == (Some(1), 20));
    let shown = until("both nodes to be shown", || {
        let shown = ams.run(&["bundle", "status"]);
        (shown.out.matches("serves 1").count() == 2).then_some(shown)
    });
    assert_eq!(shown.code, 0, "{}", shown.out);

    source.write("zones/example.org.zone", zone(30, ""));
    assert_eq!(fleet.publish(&sin, source.path()).code, 0);
    assert_eq!(serves(&sin), (Some(2), 30));
    until_so("the first node to serve it", || serves(&ams) == (Some(2), 30));

    let key = fleet.key();
    let back = ams.run(&["bundle", "rollback", "--key", &key, "--as", "ops"]);
    assert_eq!(back.code, 0, "{}", back.err);
    assert_eq!(serves(&ams), (Some(3), 20));
    until_so("the other node to go back", || serves(&sin) == (Some(3), 20));

    // Alone, from its disk.
    assert!(ams.stop().success());
    assert!(sin.stop().success());
    let sin = fleet.nodes[1].serve();
    assert_eq!(serves(&sin), (Some(3), 20));
}

#[test]
fn a_bundle_with_faults_is_refused_and_shown() {
    let fleet = Fleet::new();
    let source = Site::new();
    let ams = fleet.nodes[0].serve();
    assert_eq!(fleet.publish(&ams, source.path()).code, 0);

    // Past the publisher's own check.
    let mut contents = Contents::default();
    contents.add("zones/example.org.zone", b"@ NONSENSE".to_vec()).expect("a file");
    let octets = contents.encode().expect("octets");
    let release = Release {
        serial: 9,
        hash: Hash::of(&octets),
        octets: octets.len() as u64,
        made_at: 0,
        note: String::new(),
    };
    let pem = fs::read(fleet.key()).expect("a key");
    let key = SigningKey::from_pem(&pem).expect("a key");
    let signed = release.seal(&key, "ops");
    let answer = post(&ams, &postcard(&signed, &octets));
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("NONSENSE"), "{answer}");
    assert_eq!(serves(&ams), (Some(1), 1));
    let shown = ams.run(&["bundle", "status"]);
    assert_eq!(shown.code, 1);
    assert!(
        shown.out.contains("refuses 9") && shown.out.contains("example.org.zone:1"),
        "{}",
        shown.out
    );
    let shown = ams.run(&["status"]);
    assert!(shown.out.contains("bundle  1; 9 is refused"), "{}", shown.out);

    // Other octets under the same signature; another's signature.
    let other = post(
        &ams,
        &postcard(&Release { serial: 10, ..release.clone() }.seal(&key, "ops"), b"other"),
    );
    assert!(other.contains("not those that were signed"), "{other}");
    let forger = SigningKey::generate().expect("a key");
    let forged = post(&ams, &postcard(&release.seal(&forger, "ops"), &octets));
    assert!(forged.contains("signature is forged"), "{forged}");
    let old = post(&ams, &postcard(&Release { serial: 1, ..release }.seal(&key, "ops"), &octets));
    assert!(old.contains("not newer"), "{old}");
    assert_eq!(serves(&ams), (Some(1), 1));

    // A link would bring in whatever it leads to.
    std::os::unix::fs::symlink("/etc/passwd", source.path().join("zones/more.zone"))
        .expect("a link");
    let linked = fleet.publish(&ams, source.path());
    assert!(linked.code != 0 && linked.err.contains("is a link"), "{}", linked.err);
}

#[test]
fn whoever_publishes_hears_of_every_node_that_refuses() {
    let fleet = Fleet::new();
    let source = Site::new();
    // The second node needs a group that the first does not; its own files have it.
    let group = "[group.near]\ncidr = [\"192.0.2.0/24\"]\n";
    fleet.nodes[1].write("geo/groups.toml", group);
    let settings = fs::read_to_string(fleet.nodes[1].path().join("meridian.toml"));
    let area = "[area.near]\nmatch = { group = \"@near\" }\n";
    fleet.nodes[1].write("meridian.toml", settings.expect("settings") + area);
    let (ams, sin) = (fleet.nodes[0].serve(), fleet.nodes[1].serve());
    let told = |node: &Daemon| node.run(&["status"]).out;
    until_so("the nodes to hear of each other", || {
        [&ams, &sin]
            .iter()
            .all(|node| node.run(&["bundle", "status"]).out.matches("serves").count() == 2)
    });

    let refused = fleet.publish(&ams, source.path());
    assert_eq!(refused.code, 1, "{}{}", refused.out, refused.err);
    for part in ["1 is served here", "refuses 1", "near"] {
        assert!(refused.out.contains(part), "{part}: {}", refused.out);
    }
    assert_eq!((serves(&ams), serves(&sin)), ((Some(1), 1), (None, 1)));
    let refused = fleet.publish(&sin, source.path());
    assert_eq!(refused.code, 1, "{}{}", refused.out, refused.err);
    assert!(
        refused.err.contains("2 is refused") && refused.err.contains("near"),
        "{}",
        refused.err
    );

    // The bus and the certificate, as an operator sees them.
    assert!(told(&ams).contains("direct as ams-1, 1 of 1 connected"), "{}", told(&ams));
    assert!(told(&ams).contains("ams-1.pem expires in"), "{}", told(&ams));
    assert_eq!(ams.metric("meridian_bus_link_up{link=\"sin-1\"}"), Some(1.0));
    assert!(ams.metric("meridian_bus_messages_total{what=\"received\"}") > Some(0.0));
    assert!(ams.metric("meridian_bus_certificate_expiry_seconds") > Some(86_400.0));
    assert!(sin.stop().success());
    until_so("the missing node to be told", || told(&ams).contains("0 of 1 connected"));
    assert_eq!(ams.run(&["status"]).code, 1);
    assert_eq!(ams.metric("meridian_bus_link_up{link=\"sin-1\"}"), Some(0.0));

    // Without [bundle] it would serve its own files, from the next start on.
    let settings = fs::read_to_string(fleet.nodes[0].path().join("meridian.toml"));
    let settings = settings.expect("settings");
    let (without, _) = settings.split_once("[bundle]").expect("a section");
    fleet.nodes[0].write("meridian.toml", without);
    until_so("the change to be told", || ams.status().reload.needs_restart == ["bundle"]);
}

/// A release and contents as the API takes them: two lengths and octets (postcard).
fn postcard(signed: &[u8], octets: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in [signed, octets] {
        let mut length = part.len();
        while length >= 0x80 {
            all.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
            length >>= 7;
        }
        all.push(u8::try_from(length).expect("seven bits"));
        all.extend_from_slice(part);
    }
    all
}
