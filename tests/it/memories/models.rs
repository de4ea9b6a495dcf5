//! A model that is missing, cut short or garbled: everything is found by its words, and the status says why.

use super::{recall_status, remember};
use crate::harness::Deployment;
use postroad_client::{MemoryUpdate, Recall};
use postroad_protocol::query::RecallMode;
use std::fs;
use std::path::{Path, PathBuf};

/// Without a model that works: words find, change and forget as ever, also after a rebuild.
async fn found_by_words_alone(model: &Path, why: &str) {
    let folder = model.to_str().expect("a path in letters");
    let mut deployment = Deployment::start_with(&["--model", folder]);
    deployment.tenant("acme").await;
    let tau = deployment.agent("acme", "tau", "i1").await;
    let id = remember(&tau, "global", "The ferry leaves at nine.").await;
    remember(&tau, "global", "Lunch is at noon.").await;
    let told = deployment.run(&["--json", "status"]).expect(0).json();
    assert_eq!(told["recall"]["mode"], "words", "{told}");
    let problem = told["recall"]["problem"].as_str().expect("it says why");
    assert!(problem.contains(why), "{problem}");
    assert!(
        problem.contains(folder) && problem.contains("recall-model.sh"),
        "{problem}"
    );
    let shown = deployment.run(&["status"]).expect(0).stdout;
    assert!(shown.contains("words"), "{shown}");
    for again in [false, true] {
        let found = tau.recall(&Recall::new("ferries leaving")).await.unwrap();
        assert_eq!(found.mode, RecallMode::Words);
        assert_eq!((found.awaiting, found.matched), (0, 1));
        assert_eq!(found.results[0].memory_id, id);
        assert_eq!(
            found.results[0].why.unwrap().meaning.to_bits(),
            0.0_f64.to_bits()
        );
        if !again {
            assert_eq!(deployment.stop(), 0);
            deployment.restart();
        }
    }
    let change = MemoryUpdate::new(id).content("The ferry is broken.");
    tau.update_memory(&change).await.unwrap();
    assert_eq!(
        tau.recall(&Recall::new("leaving")).await.unwrap().matched,
        0
    );
    assert_eq!(tau.recall(&Recall::new("broken")).await.unwrap().matched, 1);
    tau.forget_memory(id).await.unwrap();
    assert_eq!(
        tau.recall(&Recall::new("broken ferry"))
            .await
            .unwrap()
            .matched,
        0
    );
    let status = recall_status(&deployment.operator().await).await;
    assert_eq!((status.embedded, status.awaiting), (0, None));
}

#[tokio::test]
async fn a_model_that_is_not_there_leaves_the_words() {
    let folder = tempfile::tempdir().unwrap();
    found_by_words_alone(&folder.path().join("nowhere"), "is not there").await;
}

/// A copy of the model, which a test may spoil; none without the model.
fn copied() -> Option<(tempfile::TempDir, PathBuf)> {
    let Some(model) = std::env::var_os("POSTROAD_MODEL").map(PathBuf::from) else {
        eprintln!("POSTROAD_MODEL is not set: there is no model to spoil");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(model).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let model = folder.path().join("model.onnx");
    Some((folder, model))
}

#[tokio::test]
async fn a_model_that_is_cut_short_leaves_the_words() {
    let Some((folder, model)) = copied() else {
        return;
    };
    let bytes = fs::metadata(&model).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&model).unwrap();
    file.set_len(bytes / 2).unwrap();
    found_by_words_alone(folder.path(), "sha256").await;
}

#[tokio::test]
async fn a_model_with_one_wrong_bit_leaves_the_words() {
    let Some((folder, model)) = copied() else {
        return;
    };
    let mut bytes = fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&model, bytes).unwrap();
    found_by_words_alone(folder.path(), "sha256").await;
}

#[tokio::test]
async fn a_tokenizer_that_is_nonsense_leaves_the_words() {
    let Some((folder, _)) = copied() else { return };
    fs::write(folder.path().join("tokenizer.json"), b"{\"nonsense\":").unwrap();
    found_by_words_alone(folder.path(), "sha256").await;
}
