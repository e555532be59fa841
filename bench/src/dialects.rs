//! What clients of each dialect of the registry send to register, renew and look up.

use serde_json::json;

/// Ten instances make a service.
pub const OF_A_SERVICE: usize = 10;

/// A request: method, path, body.
pub type Request = (&'static str, String, String);

/// A dialect of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// The registry's own.
    Registry,
    /// Consul's agent.
    Consul,
    /// Eureka's server.
    Eureka,
}

impl Dialect {
    /// As `place.json` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Consul => "consul",
            Self::Eureka => "eureka",
        }
    }

    fn service(self, number: usize) -> String {
        format!("{}-{:05}", self.name(), number / OF_A_SERVICE)
    }

    /// Registers an instance, which passes its checks; `revision` makes it another one than before.
    pub fn register(self, number: usize, revision: usize) -> Request {
        let (service, id, tags) = (self.service(number), self.id(number), ["v1", "green"]);
        let address = format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
        match self {
            Self::Registry => {
                let body = json!({
                    "service": service, "id": id, "address": address, "port": 8080, "tags": tags,
                    "metadata": {"zone": "a"}, "version": revision.to_string(), "ttlSeconds": 3600,
                });
                ("POST", "/registry/instances".into(), body.to_string())
            }
            Self::Consul => {
                let body = json!({
                    "Name": service, "ID": id, "Address": address, "Port": 8080, "Tags": tags,
                    "Meta": {"zone": "a", "version": revision.to_string()},
                    "Check": {"TTL": "3600s", "Status": "passing"},
                });
                ("PUT", "/v1/agent/service/register".into(), body.to_string())
            }
            Self::Eureka => {
                let body = json!({"instance": {
                    "instanceId": id, "hostName": address, "app": service.to_uppercase(), "ipAddr": address,
                    "vipAddress": service, "status": "UP", "port": {"$": 8080, "@enabled": "true"},
                    "dataCenterInfo": {
                        "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn",
                    },
                    "leaseInfo": {"renewalIntervalInSecs": 1200, "durationInSecs": 3600},
                    "metadata": {"zone": "a", "version": revision.to_string()},
                }});
                ("POST", format!("/eureka/apps/{}", service.to_uppercase()), body.to_string())
            }
        }
    }

    /// What the instance is called.
    pub fn id(self, number: usize) -> String {
        format!("{}-web-{number:06}", self.name())
    }

    /// A sign of life.
    pub fn renew(self, number: usize) -> Request {
        let id = self.id(number);
        let path = match self {
            Self::Registry => format!("/registry/instances/default/{id}/renew"),
            Self::Consul => format!("/v1/agent/check/pass/service:{id}"),
            Self::Eureka => format!("/eureka/apps/{}/{id}", self.service(number).to_uppercase()),
        };
        ("PUT", path, String::new())
    }

    /// Asks for the ten instances of the service that the instance is of.
    pub fn look_up(self, number: usize) -> Request {
        let service = self.service(number);
        let path = match self {
            Self::Registry => format!("/registry/instances?namespace=default&service={service}"),
            Self::Consul => format!("/v1/health/service/{service}?passing"),
            Self::Eureka => format!("/eureka/apps/{}", service.to_uppercase()),
        };
        ("GET", path, String::new())
    }

    /// Waits until the service of the instance is no longer as it was at an index; none for a dialect that polls.
    pub fn wait(self, number: usize, index: &str) -> Option<Request> {
        let (method, path, body) = self.look_up(number);
        match self {
            Self::Registry | Self::Consul => Some((method, format!("{path}&index={index}&wait=60s"), body)),
            Self::Eureka => None,
        }
    }

    /// The header that tells the index.
    pub fn index(self) -> &'static str {
        match self {
            Self::Registry | Self::Eureka => "x-portolan-index",
            Self::Consul => "x-consul-index",
        }
    }
}
