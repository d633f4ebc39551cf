//! Bundles, as nodes hand them on: contents have one form only and lead nowhere else, and a
//! release that was understood is understood again.

use std::path::{Component, Path};

use meridian::bundle::release::Fault;
use meridian::bundle::{Contents, Release};
use meridian::seal::{Kind, SigningKey, seal};

thread_local! {
    static KEY: SigningKey = SigningKey::generate().expect("a key");
}

/// Reads the octets as contents, and as a release, bare and signed.
pub fn run(octets: &[u8]) {
    if let Ok(contents) = Contents::decode(octets) {
        assert_eq!(contents.encode().expect("what was read can be written"), octets);
        let mut again = Contents::default();
        for (path, text) in contents.files() {
            let parts = Path::new(path).components();
            assert!(parts.clone().all(|part| matches!(part, Component::Normal(_))), "{path}");
            assert!(parts.count() >= 2, "{path}");
            again.add(path, text.to_vec()).expect("it was there");
        }
        assert_eq!(again, contents);
    }
    KEY.with(|key| {
        let known = |_: &str| Some(key.public());
        assert!(matches!(Release::open(octets, known), Err(Fault::Seal(_))), "nobody signed this");
        if let Ok((release, _)) = Release::open(&seal(key, Kind::Bundle, "ops", octets), known) {
            let again = Release::open(&release.seal(key, "ops"), known);
            assert_eq!(again, Ok((release, "ops".to_owned())));
        }
    });
}
