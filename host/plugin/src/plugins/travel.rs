//! Compiled code on its way from the store that compiled it to the stores of other hosts.
//!
//! Code travels as the file it lies in, with its authentication code. A store takes it only if the sender's secret, which it
//! was told by a way of its own, made that code for the very key the store itself would look for: same component, engine,
//! processor features and tier. A host with another processor has other keys, finds nothing, and compiles for itself.

use std::fs::File;

use super::{Error, Loaded, PluginStore, lock};
use crate::{
    cache::{Key, Secret},
    digest::Digest,
    engine::Tier,
    plugin::Plugin,
};

impl PluginStore {
    /// What this store seals code with: for stores that are to take code from it, and nobody else.
    pub fn secret(&self) -> Secret {
        self.cache.secret().clone()
    }

    /// The names under which this store looks for the code of a component, the better first.
    pub fn keys(&self, digest: &Digest) -> [String; 2] {
        [Tier::Optimized, Tier::Baseline].map(|tier| Key::new(&self.engine, digest, tier).as_str().to_owned())
    }

    /// Compiled code and its authentication code, by one of another store's [`PluginStore::keys`].
    pub fn sealed(&self, key: &str) -> Option<File> {
        self.cache.sealed(&Key::from_text(key)?)
    }

    /// Keeps code that another store gave by [`PluginStore::sealed`]. `false`: it is not what that store sealed under the
    /// key, and was thrown away.
    pub fn put_sealed(&self, key: &str, sealed: &[u8], secret: &Secret) -> Result<bool, Error> {
        Key::from_text(key).map_or(Ok(false), |key| Ok(self.cache.put_sealed(&key, sealed, secret)?))
    }

    /// The plugin of a component whose code this store has, without the component.
    pub fn known(&self, digest: &Digest) -> Result<Option<Plugin>, Error> {
        let place = self.place(*digest);
        let mut loaded = lock(&place.loaded);
        if let Some(Loaded { plugin, .. }) = &*loaded {
            return Ok(Some(plugin.clone()));
        }
        let Some((component, tier, key)) = self.find_code(digest) else { return Ok(None) };
        let plugin = Plugin::from_component(&self.engine, &component, *digest)?;
        *loaded = Some(Loaded { plugin: plugin.clone(), manifest: None, tier, key, compile_time: None });
        Ok(Some(plugin))
    }
}
