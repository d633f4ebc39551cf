//! What the daemon is attached to: the bus, and who may speak on it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

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
}

impl Attachment {
    /// Opens the bus that the settings describe; one within this process where they name none.
    ///
    /// # Errors
    /// As [`bus::open`].
    pub async fn open(settings: Option<&config::Bus>) -> io::Result<Self> {
        let Some(settings) = settings else {
            let bus: Arc<dyn Bus> = Arc::new(Local::new());
            return Ok(Self { bus, identity: None, admitted: Mutex::default() });
        };
        let identity = Identity::new(settings.material.clone()).map_err(io::Error::other)?;
        let bus = bus::open(&settings.wiring, &identity).await?;
        let attachment = Self { bus, identity: Some(identity), admitted: Mutex::default() };
        attachment.refresh(Some(settings));
        Ok(attachment)
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

    /// When the certificate in use ends, in seconds since 1970.
    pub fn expires_at(&self) -> Option<u64> {
        self.identity.as_ref().map(|identity| identity.material().names.expires_at)
    }

    /// Takes over what a reload may change: certificates, and which nodes are let in.
    pub fn refresh(&self, settings: Option<&config::Bus>) {
        let (Some(settings), Some(identity)) = (settings, &self.identity) else { return };
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
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut admitted);
        self.bus.admit(admitted.clone());
    }
}
