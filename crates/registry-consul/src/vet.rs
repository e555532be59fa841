//! What a token of Consul must allow for a registration with the catalog and for its end.

use crate::Error;
use crate::acl::{Access, Authorizer};
use crate::body::Fields;
use crate::catalog::Wanted;
use crate::catalog::register::{find, machine, on_node, owner_of};
use crate::machine::Machine;
use crate::state::State;

/// Rights and the names that they are for.
type Needed = Vec<(Access, String)>;

/// What a registration needs. Whoever says of a machine what is known of it already need not be allowed to change it.
///
/// Consul asks who takes another machine's id for no right to that machine, and neither is it asked for here; the
/// cluster's rules do ask for it.
pub(crate) fn registration(state: &State, wanted: &Wanted) -> Result<Needed, Error> {
    let Wanted { fields, node, .. } = wanted;
    let write = || (Access::NodeWrite, node.clone());
    let mut needed = Vec::new();
    let changes = match wanted.known() {
        None => true,
        Some(_) if wanted.skips => false,
        Some(known) => changes(known, fields)?,
    };
    if changes {
        needed.push(write());
    }
    let mut made = None;
    if let Some(service) = fields.fields("Service")? {
        let name = service.first_text(&["Service", "Name"])?;
        let id = Some(service.text("ID")?).filter(|id| !id.is_empty()).unwrap_or_else(|| name.clone());
        // What stands there makes room.
        let by_key = state.registrar.instance(&state.key(node, &id));
        let present = by_key.into_iter().chain(find(state, node, &id));
        needed.extend(present.map(|present| (Access::ServiceWrite, present.spec.service.clone())));
        needed.push((Access::ServiceWrite, name));
        needed.extend(destination(&service)?);
        made = Some(id);
    }
    for check in fields.list("Checks")?.into_iter().chain(fields.fields("Check")?) {
        let service = check.text("ServiceID")?;
        if service.is_empty() {
            needed.push(write());
        } else if Some(&service) != made.as_ref() {
            let id = check.first_text(&["CheckID", "ID", "Name"])?;
            let known = owner_of(state, node, &service, &id)?;
            needed.push((Access::ServiceWrite, known.spec.service.clone()));
        }
    }
    Ok(needed)
}

/// A proxy speaks for the service that it leads to.
pub(crate) fn destination(service: &Fields) -> Result<Option<(Access, String)>, Error> {
    let proxy = service.fields("Proxy")?.filter(|_| service.text("Kind").is_ok_and(|kind| kind == "connect-proxy"));
    let name = proxy.map(|proxy| proxy.text("DestinationServiceName")).transpose()?;
    Ok(name.map(|name| (Access::ServiceWrite, name)))
}

fn changes(known: &Machine, fields: &Fields) -> Result<bool, Error> {
    let said = machine(fields, "NodeMeta")?;
    let locality = said.locality.unwrap_or_default();
    Ok((&locality.region, &locality.zone) != (&known.locality.region, &known.locality.zone)
        || said.node_id != known.id
        || said.address != known.address
        || said.tagged_addresses != known.tagged_addresses
        || said.metadata != known.metadata)
}

/// What the end of a registration needs: the right to its machine, or to what goes.
pub(crate) fn removal(state: &State, fields: &Fields, authorizer: &Authorizer) -> Result<Needed, Error> {
    let node = state.node_name(&fields.text("Node")?);
    let (service, check) = (fields.text("ServiceID")?, fields.text("CheckID")?);
    if authorizer.allows(Access::NodeWrite, &node) {
        return Ok(Vec::new());
    }
    if !service.is_empty() {
        let known = find(state, &node, &service);
        let known = known.ok_or_else(|| Error::Internal(format!("Unknown service ID '{service}'")))?;
        return Ok(vec![(Access::ServiceWrite, known.spec.service.clone())]);
    }
    let of_node = vec![(Access::NodeWrite, node.clone())];
    if check.is_empty() {
        return Ok(of_node);
    }
    let machines = state.machines(&state.snapshot());
    if machines.get(&node).is_some_and(|machine| machine.checks.iter().any(|known| *known.id == *check)) {
        return Ok(of_node);
    }
    let mut owners = on_node(state, &node);
    owners.retain(|object| object.spec.checks.iter().any(|known| known.id == check));
    if owners.is_empty() {
        return Err(Error::Internal(format!("Unknown check ID '{check}'")));
    }
    Ok(owners.iter().map(|object| (Access::ServiceWrite, object.spec.service.clone())).collect())
}
