//! Plugins: uploaded components, addressed by name and version or by digest.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One version of a plugin. A version's bytes never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginVersion {
    /// `[a-z0-9-]`.
    pub name: String,
    pub version: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Of the component, in bytes.
    pub size: u64,
    /// What its manifest says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// As the component's producers section names them.
    pub languages: Vec<String>,
    /// When it was uploaded.
    pub uploaded_ms: i64,
    /// Jobs that have not ended and run it; it cannot be removed as long as there are any.
    pub used_by: Vec<String>,
}

/// All that is known of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginDetail {
    #[serde(flatten)]
    pub version: PluginVersion,
    /// What `wasmill plugin inspect -o json` prints of the component.
    pub inspection: serde_json::Value,
}

/// Whether something that was sent is new. It is told by the HTTP status: 201 or 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    New,
    /// It was there already, and is the same.
    Same,
}
