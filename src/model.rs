//! Where the model lies with which memories are found by meaning. Finds its folder; whether what lies there is the model is
//! the projector's to say.

use std::env;
use std::path::{Path, PathBuf};

const VARIABLE: &str = "POSTROAD_MODEL";
/// The model's folder in a checkout, below its `.tools`.
const NAME: &str = "recall-model";

/// Which model a projector uses.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ModelArgs {
    /// Folder of the model that finds memories by meaning, which scripts/recall-model.sh fetches; otherwise the one in .tools.
    /// Without one memories are found by their words [env: `POSTROAD_MODEL`]
    #[arg(long = "model", value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl ModelArgs {
    /// The folder that was named, or that the checkout of this executable keeps in `.tools`.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let variable = env::var_os(VARIABLE).filter(|value| !value.is_empty());
        let named = self.folder.clone().or(variable.map(PathBuf::from));
        named.or_else(|| of_checkout(&env::current_exe().ok()?))
    }
}

/// target/debug/postroad and target/debug/deps/it-… lie at most this deep in their checkout.
fn of_checkout(executable: &Path) -> Option<PathBuf> {
    let above = executable.ancestors().skip(1).take(5);
    let mut folders = above.map(|above| above.join(".tools").join(NAME));
    folders.find(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_finds_the_model_of_its_checkout_and_none_elsewhere() {
        let checkout = tempfile::tempdir().unwrap();
        let built = checkout.path().join("target/release/postroad");
        assert_eq!(of_checkout(&built), None);
        let model = checkout.path().join(".tools/recall-model");
        std::fs::create_dir_all(&model).unwrap();
        assert_eq!(of_checkout(&built), Some(model));
        assert_eq!(of_checkout(Path::new("/usr/bin/postroad")), None);
    }

    #[test]
    fn a_folder_that_is_named_is_taken_whatever_lies_there() {
        let named = ModelArgs {
            folder: Some("/no/such/model".into()),
        };
        assert_eq!(named.folder(), Some("/no/such/model".into()));
    }
}
