//! Reads region, credentials and endpoints from the SDK's standard variables. This file exists to save cold-start time.
//!
//! The SDK's own loader (`aws-config`) also supports profiles, assumed roles and metadata services: a sixth of the binary,
//! unused, because Lambda puts credentials into the environment and starts a new process for new ones.

use aws_sdk_dynamodb::config::{Credentials, Region, SharedCredentialsProvider};
use aws_types::{
    sdk_config,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};

use crate::config::Environment;

/// Reads the process's environment. A call whose variable is missing fails when it is made.
pub(super) fn configuration() -> sdk_config::Builder {
    let environment = Environment::process();
    let region = ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|name| environment.get(name));
    let mut config = sdk_config::Builder::default();
    config.set_region(region.map(|region| Region::new(region.to_owned())));
    config.set_credentials_provider(credentials(&environment));
    config.set_endpoint_url(environment.get("AWS_ENDPOINT_URL").map(str::to_owned));
    config.service_config(Endpoints(environment))
}

fn credentials(environment: &Environment) -> Option<SharedCredentialsProvider> {
    let credentials = Credentials::new(
        environment.get("AWS_ACCESS_KEY_ID")?,
        environment.get("AWS_SECRET_ACCESS_KEY")?,
        environment.get("AWS_SESSION_TOKEN").map(str::to_owned),
        None,
        "environment",
    );
    Some(SharedCredentialsProvider::new(credentials))
}

/// `AWS_ENDPOINT_URL_<SERVICE>`, which takes precedence over `AWS_ENDPOINT_URL`.
#[derive(Debug)]
struct Endpoints(Environment);

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        self.0.get(&format!("{}_{service}", key.env())).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_named_after_its_service() {
        let endpoints = Endpoints(Environment::from_pairs([
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://secrets"),
            ("AWS_ENDPOINT_URL", "http://all"),
        ]));
        let key = |service| {
            ServiceConfigKey::builder()
                .service_id(service)
                .env("AWS_ENDPOINT_URL")
                .profile("endpoint_url")
                .build()
                .unwrap()
        };
        assert_eq!(endpoints.load_config(key("Secrets Manager")).unwrap(), "http://secrets");
        assert_eq!(endpoints.load_config(key("DynamoDB")), None);
    }

    #[test]
    fn half_a_pair_of_keys_gives_no_credentials() {
        let with = |names: &[&str]| credentials(&Environment::from_pairs(names.iter().map(|&name| (name, "x"))));
        assert!(with(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]).is_some());
        assert!(with(&["AWS_ACCESS_KEY_ID"]).is_none());
    }
}
