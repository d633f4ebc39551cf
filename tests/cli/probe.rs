//! Probing by hand, reports of others, the agent, and monitors of the blackbox exporter.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use crate::support::{BERLIN, Site, binary, http, run, until};

/// A site with `web`, a monitor with a name.
fn site() -> Site {
    let site = Site::new();
    let monitor = "[monitor.web]\ntype = \"http\"\nhost = \"www.example.org\"\n";
    site.write("probes/monitors.toml", monitor);
    site
}

#[test]
fn one_probe_is_told_step_by_step() {
    let site = site();
    let target = site.fra.address.to_string();
    let good = site.run("probe", &["--once", "web", &target]);
    assert_eq!(good.code, 0, "{}{}", good.out, good.err);
    for part in ["connect", "first byte", "HTTP/1.1 200, 3 octets", "success", &target] {
        assert!(good.out.contains(part), "{part}: {}", good.out);
    }
    site.fra.set_healthy(false);
    let bad = site.run("probe", &["--once", "web", &target]);
    assert_eq!(bad.code, 1, "{}{}", bad.out, bad.err);
    assert!(bad.out.contains("failure: status 503"), "{}", bad.out);
    let absent = site.run("probe", &["--once", "wbe", &target]);
    assert_eq!(absent.code, 2);
    assert!(
        absent.err.contains("no monitor 'wbe'") && absent.err.contains("web"),
        "{}",
        absent.err
    );
}

#[test]
fn what_others_report_decides_over_a_push_check() {
    let site = Site::new();
    let policy = site.policy("failover");
    let at = policy.find("monitor = {").expect("a monitor");
    let end = at + policy[at..].find('}').expect("its end") + 1;
    let policy = format!("{}monitor = {{ type = \"push\" }}{}", &policy[..at], &policy[end..]);
    site.write("zones/example.org.toml", policy);
    let daemon = site.serve();
    let check = "pool.fra@198.51.100.10";
    let report = |state: &str| daemon.run(&["report", check, state, "--for", "60s"]);
    assert_eq!(daemon.www("192.0.2.1"), "198.51.100.10", "nobody has said anything yet");
    let told = report("down");
    assert_eq!(told.code, 0, "{}", told.err);
    until("fra to be out", || (daemon.www("192.0.2.1") == "198.51.100.20").then_some(()));
    assert_eq!(report("up").code, 0);
    until("fra to be back", || (daemon.www("192.0.2.1") == "198.51.100.10").then_some(()));
    let wrong = daemon.run(&["report", "pool.sin@198.51.100.20", "up"]);
    assert!(wrong.code != 0 && wrong.err.contains(check), "{}", wrong.err);
    let wrong = daemon.run(&["report", check, "up", "--weight", "200%"]);
    assert!(wrong.code != 0 && wrong.err.contains("'weight' is a share"), "{}", wrong.err);
}

#[test]
fn an_agent_shows_what_it_probes_until_it_is_ended() {
    let site = site();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let metrics: SocketAddr = free.expect("a port");
    let target = site.fra.address;
    site.write(
        "probe.toml",
        format!(
            "name = \"fra-1\"\nmetrics = \"{metrics}\"\n[monitor.web]\ntype = \"http\"\n\
             interval = \"100ms\"\nfast_interval = \"100ms\"\n\
             [[check]]\nmonitor = \"web\"\ntarget = \"{target}\"\n"
        ),
    );
    let file = site.path().join("probe.toml");
    let mut command = binary();
    command.args(["probe", "--config"]).arg(&file).stderr(Stdio::null());
    let mut agent = command.spawn().expect("the agent starts");
    let line = format!("probe_success{{monitor=\"web\",target=\"{target}\"}} 1");
    until("the agent to show a success", || {
        std::net::TcpStream::connect(metrics).ok()?;
        let (status, text) = http(metrics, "GET", "/metrics", "");
        (status == 200 && text.contains(&line)).then_some(())
    });
    let pid = nix::unistd::Pid::from_raw(i32::try_from(agent.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("signalled");
    assert!(agent.wait().expect("it ends").success());
    let boot = std::fs::read_to_string(site.path().join("state/boot")).expect("counted");
    assert!(boot.trim().parse::<u64>().is_ok(), "{boot}");
    site.write("probe.toml", "name = \"fra-1\"\n[[check]]\nmonitor = \"wbe\"\ntarget = \"x\"\n");
    let faulty = run(&["probe", "--config", &file.to_string_lossy()]);
    assert!(
        faulty.code != 0 && faulty.err.contains("monitor 'wbe' is not defined"),
        "{}",
        faulty.err
    );
}

#[test]
fn modules_of_the_blackbox_exporter_are_printed_as_monitors() {
    let site = Site::new();
    let file = site.path().join("blackbox.yml");
    std::fs::write(&file, "modules:\n  http_2xx:\n    prober: http\n    timeout: 5s\n")
        .expect("written");
    let told = run(&["import", &file.to_string_lossy()]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.out.contains("[monitor.http_2xx]\ntype = \"http\"\n"), "{}", told.out);
    std::fs::write(&file, "modules: [\n").expect("written");
    assert_eq!(run(&["import", &file.to_string_lossy()]).code, 2);
}

#[test]
fn monitors_of_every_usual_kind_are_probed_by_hand() {
    let site = Site::new();
    let daemon = site.serve();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let file = site.path().join("kinds.toml");
    std::fs::write(
        &file,
        "[monitor.zone]\ntype = \"dns\"\nquery = \"text.example.org\"\nquery_type = \"TXT\"\n\
         recursion = false\nexpect = { authoritative = true, answer = \"hello\" }\n\
         [monitor.other]\ntype = \"dns\"\nquery = \"www.example.net\"\nrecursion = false\n\
         [monitor.open]\ntype = \"tcp\"\nport = 1\n\
         [monitor.talk]\ntype = \"tcp\"\nport = 1\ntimeout = \"300ms\"\n\
         dialogue = [{ expect = \"^220 \" }]\n\
         [monitor.outside]\ntype = \"push\"\n",
    )
    .expect("written");
    let file = file.to_string_lossy().into_owned();
    let probe = |monitor: &str, target: SocketAddr| {
        run(&["probe", "--once", monitor, &target.to_string(), "--config", &file])
    };
    let silent = silent.local_addr().expect("an address");
    for (monitor, target, code, told) in [
        ("zone", daemon.dns, 0, "success"),
        ("other", daemon.dns, 1, "RCODE 5"),
        ("open", silent, 0, "success"),
        ("talk", silent, 1, "failure: no answer in time"),
    ] {
        let probed = probe(monitor, target);
        assert_eq!(probed.code, code, "{monitor}: {}{}", probed.out, probed.err);
        assert!(probed.out.contains(told), "{monitor}: {}", probed.out);
    }
    let outside = probe("outside", silent);
    assert!(outside.code == 2 && outside.err.contains("nobody is asked"), "{}", outside.err);
}

/// A node that hears the vantage `fra-1`, and the agent's file beside its own.
fn vantage_and_node(site: &Site) -> std::path::PathBuf {
    let folder = site.path().join("pki");
    let pki = folder.to_string_lossy().into_owned();
    let done = |args: &[&str]| {
        let ended = run(args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
        ended.out
    };
    done(&["pki", "init", &pki]);
    done(&["pki", "issue", &pki, "ams-1", "--node"]);
    done(&["pki", "issue", &pki, "fra-1", "--vantage"]);
    let seal = |name: &str| {
        let line = done(&["key", "generate", &format!("{pki}/{name}.seal")]);
        line.trim().trim_start_matches("key = ").to_owned()
    };
    let (node, vantage) = (seal("ams-1"), seal("fra-1"));
    let bus = |name: &str| {
        format!(
            "certificate = \"{pki}/{name}.pem\"\nkey = \"{pki}/{name}.key\"\n\
             authority = \"{pki}/authority.pem\"\n"
        )
    };
    let listen = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let listen = listen.expect("a port");
    site.write(
        "meridian.toml",
        format!(
            "listen = [\"127.0.0.1:0\"]\nworkers = 1\napi = \"127.0.0.1:0\"\n\
             [vantage.fra-1]\nkey = {vantage}\n[node]\nkey = \"{pki}/ams-1.seal\"\n\
             [bus]\nkind = \"direct\"\nlisten = \"{listen}\"\n{}",
            bus("ams-1")
        ),
    );
    let file = site.path().join("agent/probe.toml");
    site.write(
        "agent/probe.toml",
        format!(
            "name = \"fra-1\"\nkey = \"{pki}/fra-1.seal\"\nmetrics = \"off\"\nperiod = \"200ms\"\n\
             nodes = {{ ams-1 = {node} }}\n\
             [bus]\nkind = \"direct\"\nnodes = {{ ams-1 = \"{listen}\" }}\n{}",
            bus("fra-1")
        ),
    );
    file
}

#[test]
fn a_vantage_asks_what_to_probe_and_its_reports_move_clients() {
    let site = Site::new();
    let file = vantage_and_node(&site);
    let mut command = binary();
    command.args(["probe", "--config"]).arg(&file).stderr(Stdio::null());
    let mut agent = command.spawn().expect("the agent starts");
    let daemon = site.serve();
    until("the vantage to vote", || {
        let told = daemon.run(&["health"]).out;
        (told.contains("1 of 1 vantages vote") && !told.contains('·')).then_some(())
    });
    assert_eq!(daemon.www(BERLIN), "198.51.100.10");
    site.fra.set_healthy(false);
    until("clients to move", || (daemon.www(BERLIN) == "198.51.100.20").then_some(()));
    assert!(daemon.run(&["health"]).out.contains("status 503"));
    // The set is kept for a start without the node.
    assert!(site.path().join("agent/state/probeset").is_file());
    // A vantage that is gone decides nothing: what was believed stays, whatever is true.
    agent.kill().expect("killed");
    agent.wait().expect("ended");
    site.fra.set_healthy(true);
    until("the vantage to be missed", || {
        daemon.run(&["health"]).out.contains("silent").then_some(())
    });
    assert_eq!(daemon.www(BERLIN), "198.51.100.20");
}

#[test]
fn imported_monitors_probe_as_they_are() {
    let site = Site::new();
    let file = site.path().join("blackbox.yml");
    std::fs::write(
        &file,
        "modules:\n  web:\n    prober: http\n    timeout: 5s\n    http:\n      method: HEAD\n      \
         valid_status_codes: [200]\n      headers: { Host: www.example.org }\n  \
         mail:\n    prober: tcp\n    tcp:\n      query_response:\n        - expect: \"^220\"\n",
    )
    .expect("written");
    let told = run(&["import", &file.to_string_lossy()]);
    assert_eq!(told.code, 0, "{}", told.err);
    site.write("probes/monitors.toml", &told.out);
    let target = site.fra.address.to_string();
    let probed = site.run("probe", &["--once", "web", &target]);
    assert_eq!(probed.code, 0, "{}\n{}{}", told.out, probed.out, probed.err);
    assert_eq!(run(&["import", "there-is-none.yml"]).code, 2);
}
