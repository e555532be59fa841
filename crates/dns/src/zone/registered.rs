//! Names of instances that registered themselves, or that pods are published as.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use portolan_catalog::{Instance, Snapshot, balance};

use super::Zone;
use super::endpoints::{Host, LONGEST_ADDRESS, write_dashed};
use crate::place::{Place, Verdict, answers, here, in_turn, leads_on};
use crate::wire::{Name, Question, Writer, name_of, record};

/// Whether an instance has this name below its service: its id, or its address with hyphens.
fn is_named(instance: &Instance, host: &Host<'_>, snapshot: &Snapshot) -> bool {
    let by_address = |address| Place::address_of(instance, snapshot) == Some(address);
    instance.id.eq_ignore_ascii_case(host.name) || host.address.is_some_and(by_address)
}

/// Whether a text can be a label of a name that programs take for one.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl Zone {
    pub(super) fn write_instances(
        &self,
        instances: &[Arc<Instance>],
        host: Option<&Host<'_>>,
        snapshot: &Snapshot,
        question: &Question,
        writer: &mut Writer<'_>,
    ) -> Verdict {
        let chosen =
            |instance: &Arc<Instance>| answers(instance) && host.is_none_or(|host| is_named(instance, host, snapshot));
        if !instances.iter().any(chosen) {
            return Verdict::Unknown;
        }
        let in_turn = in_turn(instances, chosen, self.instance_distance(snapshot), usize::from(question.id));
        if question.kind == record::SRV {
            let mut told = HashSet::new();
            for instance in in_turn {
                for port in instance.ports.iter() {
                    self.write_instance_srv(instance, port.port, snapshot, writer, &mut told);
                }
                if writer.is_truncated() {
                    break;
                }
            }
            return Verdict::Exists;
        }
        let (mut told, mut alias) = (HashSet::new(), None);
        for instance in in_turn {
            match Place::of(instance, snapshot) {
                Some(Place::Address(address)) => {
                    let is_new = told.insert(address);
                    if is_new {
                        self.write_address(address, question, writer);
                    }
                }
                Some(Place::Host(name)) => alias = alias.or(Some(name)),
                None => {}
            }
            if writer.is_truncated() {
                break;
            }
        }
        match alias {
            Some(target) if leads_on(question, told.is_empty(), writer) => Verdict::Alias(target),
            _ => Verdict::Exists,
        }
    }

    /// Those with a port of this name and protocol.
    pub(super) fn write_instance_port(
        &self,
        instances: &[Arc<Instance>],
        (name, protocol): (&[u8], &[u8]),
        snapshot: &Snapshot,
        question: &Question,
        writer: &mut Writer<'_>,
    ) -> Verdict {
        let mut offers = false;
        let mut told = HashSet::new();
        let chosen = |instance: &Arc<Instance>| answers(instance);
        for instance in in_turn(instances, chosen, self.instance_distance(snapshot), usize::from(question.id)) {
            for port in instance.ports.iter() {
                let is_it =
                    port.name.as_bytes().eq_ignore_ascii_case(name) && port.protocol.as_str().as_bytes() == protocol;
                offers |= is_it;
                if is_it && question.kind == record::SRV {
                    self.write_instance_srv(instance, port.port, snapshot, writer, &mut told);
                }
            }
            if writer.is_truncated() {
                break;
            }
        }
        Verdict::exists(offers)
    }

    fn write_instance_srv(
        &self,
        instance: &Instance,
        port: u16,
        snapshot: &Snapshot,
        writer: &mut Writer<'_>,
        told: &mut HashSet<(Name, u16)>,
    ) {
        let (target, address) = match Place::of(instance, snapshot) {
            Some(Place::Address(address)) => (self.instance_name(instance, address), Some(address)),
            Some(Place::Host(name)) => (Some(name), None),
            None => (None, None),
        };
        let Some(target) = target.filter(|target| told.insert((*target, port))) else { return };
        let weight = u16::try_from(balance::weight(instance)).unwrap_or(u16::MAX);
        self.srv(writer, &target, port, weight, address.into_iter());
    }

    /// How far instances are from whom this server answers, if that is known.
    fn instance_distance(&self, snapshot: &Snapshot) -> Option<impl Fn(&Arc<Instance>) -> u8> {
        let here = here(snapshot, &self.node)?;
        Some(|instance: &Arc<Instance>| balance::distance(here, &instance.locality))
    }

    /// The name of an instance: its id, or its address where that is none that programs take.
    pub(crate) fn instance_name(&self, instance: &Instance, address: IpAddr) -> Option<Name> {
        let mut buffer = [0; LONGEST_ADDRESS];
        let host = if is_label(&instance.id) { instance.id.as_bytes() } else { write_dashed(address, &mut buffer) };
        let own = [host, instance.service.as_bytes(), instance.namespace.as_bytes(), b"svc"];
        name_of(own.into_iter().chain(self.domain.labels()))
    }
}
