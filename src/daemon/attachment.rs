//! What the daemon is attached to: the bus, and who may speak on it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::admin::view::{BusView, TlsView};
use crate::bus::local::Local;
use crate::bus::{self, Admitted, Bus, Wiring};
use crate::config;
use crate::pki::Role;
use crate::pki::identity::Identity;

/// The daemon's end of the bus.
pub struct Attachment {
    bus: Arc<dyn Bus>,
    /// Where the bus leads out of this process.
    identity: Option<Arc<Identity>>,
    admitted: Mutex<Admitted>,
    /// `direct` or `nats`; nothing in one process.
    kind: &'static str,
    /// The file of the certificate in use.
    certificate: Mutex<PathBuf>,
}

impl Attachment {
    /// Opens the bus that the settings describe; one within this process where they name none.
    ///
    /// # Errors
    /// As [`bus::open`].
    pub async fn open(settings: Option<&config::Bus>) -> io::Result<Self> {
        let Some(settings) = settings else {
            let bus: Arc<dyn Bus> = Arc::new(Local::new());
            return Ok(Self::new(bus, None, ""));
        };
        let identity = Identity::new(settings.material.clone()).map_err(io::Error::other)?;
        let bus = bus::open(&settings.wiring, &identity).await?;
        let attachment = Self::new(bus, Some(identity), settings.wiring.kind());
        attachment.refresh(Some(settings));
        Ok(attachment)
    }

    fn new(bus: Arc<dyn Bus>, identity: Option<Arc<Identity>>, kind: &'static str) -> Self {
        let (admitted, certificate) = (Mutex::default(), Mutex::default());
        Self { bus, identity, admitted, kind, certificate }
    }

    /// How this process is connected to others, to be shown; `None` when it is not.
    pub fn view(&self, wall: u64) -> Option<BusView> {
        let identity = self.identity.as_ref()?;
        let expires_at = identity.material().names.expires_at;
        let certificate = TlsView {
            certificate: lock(&self.certificate).display().to_string(),
            expires_at,
            expires_in_seconds: expires_at.cast_signed().saturating_sub(wall.cast_signed()),
        };
        let counts = self.bus.counts();
        Some(BusView {
            kind: self.kind.to_owned(),
            node: self.name().unwrap_or_default(),
            links: self.bus.links(),
            published: counts.published,
            received: counts.received,
            skipped: counts.skipped,
            overtaken: counts.overtaken,
            refused: counts.refused,
            certificate,
        })
    }

    /// The bus.
    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    /// What this node is called on the bus; `None` in one process.
    pub fn name(&self) -> Option<String> {
        let material = self.identity.as_ref()?.material();
        material.name_as(Role::Node).map(str::to_owned)
    }

    /// Takes over what a reload may change: certificates, and which nodes are let in.
    pub fn refresh(&self, settings: Option<&config::Bus>) {
        let (Some(settings), Some(identity)) = (settings, &self.identity) else { return };
        lock(&self.certificate).clone_from(&settings.files[0]);
        if identity.material() != settings.material {
            match identity.replace(settings.material.clone()) {
                Ok(()) => tracing::info!("bus: the certificate is replaced"),
                Err(error) => tracing::error!("bus: the certificate before stays in use: {error}"),
            }
        }
        if let Wiring::Direct(setup) = &settings.wiring {
            self.admit(|admitted| admitted.nodes = setup.nodes.keys().cloned().collect());
        }
    }

    /// Says which vantages are let in: those of the configuration.
    pub fn admit_vantages<'v>(&self, vantages: impl IntoIterator<Item = &'v str>) {
        let vantages = vantages.into_iter().map(str::to_owned).collect();
        self.admit(|admitted| admitted.vantages = vantages);
    }

    fn admit(&self, change: impl FnOnce(&mut Admitted)) {
        let mut admitted = lock(&self.admitted);
        change(&mut admitted);
        self.bus.admit(admitted.clone());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
