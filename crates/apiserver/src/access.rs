//! How access to the server is set up: who is believed, who decides, what is recorded.

use crate::authentication::Authentication;
use crate::authorization::Authorization;

/// Settings of authentication and authorization, as an operator chooses them.
///
/// The default is the cluster's own: its certificates and service accounts, nodes and roles.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// How users prove themselves.
    pub authentication: Authentication,
    /// How it is decided what they may do.
    pub authorization: Authorization,
}
