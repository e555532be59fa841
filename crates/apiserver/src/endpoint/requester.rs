//! Objects that say who asked for them.

use serde_json::{Value, json};

use super::Call;

impl Call<'_> {
    /// Writes down who asks for a certificate: a fact of the request, not a claim in it.
    pub(super) fn record_requester(&self, object: &mut Value) {
        let concerned = ("certificates.k8s.io", "certificatesigningrequests");
        if (&*self.resource.group, &*self.resource.name) != concerned {
            return;
        }
        let Some(spec) = object["spec"].as_object_mut() else { return };
        for claim in ["uid", "extra"] {
            spec.remove(claim);
        }
        spec.insert("username".into(), self.user.name.as_str().into());
        spec.insert("groups".into(), json!(self.user.groups));
        if !self.user.uid.is_empty() {
            spec.insert("uid".into(), self.user.uid.as_str().into());
        }
        if !self.user.extra.is_empty() {
            spec.insert("extra".into(), json!(self.user.extra));
        }
    }
}
