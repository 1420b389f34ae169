//! `toolbay schema`: the JSON Schema of `toolbay.toml`, and the Cedar schema of policies.

use std::process::ExitCode;

use super::{ConfigArgs, Outcome, print, print_json};
use crate::{config, policies};

/// What `--help` says after the options.
pub(super) const HELP: &str = r#"Editors complete and check toolbay.toml by its JSON Schema, and policies by their Cedar schema.
The latter has the claims and arguments that [policy] of the configuration declares.

  toolbay schema > toolbay.schema.json
  toolbay schema --policy > toolbay.cedarschema
  toolbay schema --policy --config prod.toml"#;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Schema {
    /// Print the Cedar schema that policies are validated against
    #[arg(long)]
    policy: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Schema {
    pub(super) fn run(self) -> Outcome {
        if self.policy {
            let mut source = self.config.source();
            // Who writes policies needs it while they are wrong.
            (source.overrides.without_policies, source.overrides.without_lock) = (true, true);
            print(&policies::schema_text(&source.load().config?.policy.declared()))?;
        } else {
            print_json(&config::json_schema())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
