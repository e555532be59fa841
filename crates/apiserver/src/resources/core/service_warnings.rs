//! What is said of services that are taken but not as they should be.
//!
//! Source: `kubernetes/pkg/api/service/warnings.go`.

use serde_json::Value;

use crate::resources::addresses::{cidr_warning, ip_warning};
use crate::resources::json::{is_set, items, text};

pub(super) const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
pub(super) const MODE: &str = "service.kubernetes.io/topology-mode";

pub(super) fn warnings(service: &Value) -> Vec<String> {
    let (spec, mut warnings) = (&service["spec"], Vec::new());
    if !service["metadata"]["annotations"][HINTS].is_null() {
        warnings.push(format!("annotation {HINTS} is deprecated, please use {MODE} instead"));
    }
    let kind = text(&spec["type"]);
    let is_headless = spec["clusterIP"] == "None" && kind == "ClusterIP";
    if is_set(&spec["clusterIP"]) && spec["clusterIP"] != "None" {
        warnings.extend(of_list(spec, "clusterIPs", ip_warning));
    }
    if is_headless {
        for field in ["loadBalancerIP", "externalIPs"].iter().filter(|field| is_set(&spec[**field])) {
            warnings.push(format!("spec.{field} is ignored for headless services"));
        }
        if spec["sessionAffinity"] != "None" {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    warnings.extend(of_list(spec, "externalIPs", ip_warning));
    if is_set(&spec["externalIPs"]) && !is_headless && kind != "ExternalName" {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    if is_set(&spec["loadBalancerIP"]) {
        warnings.extend(ip_warning("spec.loadBalancerIP", text(&spec["loadBalancerIP"])));
    }
    warnings.extend(of_list(spec, "loadBalancerSourceRanges", cidr_warning));
    if kind == "ExternalName" && is_set(&spec["externalIPs"]) {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && is_set(&spec["externalName"]) {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec["trafficDistribution"] == "PreferClose" {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    warnings
}

fn of_list(spec: &Value, field: &str, warning: impl Fn(&str, &str) -> Option<String>) -> Vec<String> {
    let said = items(&spec[field]).iter().enumerate();
    said.filter_map(|(index, value)| warning(&format!("spec.{field}[{index}]"), text(value))).collect()
}
