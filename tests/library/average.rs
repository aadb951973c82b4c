//! Averaged adapters against PEFT's, which tests/golden/average/make.py wrote.

use std::path::{Path, PathBuf};

use kindling::adapter::{Adapter, AverageConfig, Averaged};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/average").join(name)
}

fn opened() -> Vec<(String, Adapter)> {
    let open = |name: &str| {
        let adapter = Adapter::open(|file| Ok(std::fs::read(golden(name).join(file)).ok())).unwrap();
        (name.to_string(), adapter)
    };
    ["one", "two"].map(open).into()
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(golden("expected.json")).unwrap()).unwrap()
}

/// What an adapter of scale 1 adds to a layer's weights, row by row.
fn delta(adapter: &Adapter, layer: &str) -> Vec<f64> {
    let half = |half: char| {
        let name = format!("{layer}.lora.0.{half}");
        adapter.weights.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("{name}"))
    };
    let (a, b) = (half('a'), half('b'));
    let (rank, inputs) = (a.shape[0], a.shape[1]);
    let rows = b.values.chunks_exact(rank);
    rows.flat_map(|row| {
        (0..inputs).map(move |column| {
            let products = row.iter().enumerate();
            products.map(|(k, x)| f64::from(*x) * f64::from(a.values[k * inputs + column])).sum()
        })
    })
    .collect()
}

fn averaged(rank: Option<usize>) -> Averaged {
    let weights = expected()["weights"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    Adapter::average(&opened(), &AverageConfig { weights, rank }).unwrap()
}

#[test]
fn the_mean_is_the_one_that_peft_makes() {
    let (expected, mean) = (expected(), averaged(None));
    let deltas = expected["deltas"].as_object().unwrap();
    // Queries, values and one half of the feed-forward, in two blocks.
    assert_eq!((deltas.len(), mean.adapter.weights.len()), (6, 12));
    for (layer, values) in deltas {
        let found = delta(&mean.adapter, layer);
        let values: Vec<f64> = values.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        assert_eq!(found.len(), values.len(), "{layer}");
        for (found, expected) in found.iter().zip(&values) {
            assert!((found - expected).abs() < 1e-5, "{layer}: {found} {expected}");
        }
    }
    let lora = &mean.adapter.config.lora;
    assert_eq!((lora.rank, lora.alpha, lora.rslora), (5, 5.0, false));
    let told: Vec<String> = mean.remarks.iter().map(ToString::to_string).collect();
    assert!(told.len() == 2 && told[0].contains("'one' has no path for up_proj"), "{told:?}");
    // What is written is read as it was, ranks of single layers among it.
    let files = mean.adapter.files().unwrap();
    let again = Adapter::open(|name| Ok(files.get(name).cloned())).unwrap();
    assert_eq!(again, mean.adapter);
}

#[test]
fn a_cut_costs_what_numpy_finds() {
    let (expected, mean) = (expected(), averaged(Some(2)));
    let cut = mean.cut.unwrap();
    assert_eq!((cut.from, cut.rank), (5, 2));
    let error = expected["error"].as_f64().unwrap();
    assert!((cut.error - error).abs() < 1e-5, "{} {error}", cut.error);
    assert!(cut.worst.1 > cut.error, "{:?}", cut.worst);
    // It is really cut, and by so much.
    let (mut beyond, mut whole) = (0.0, 0.0);
    for (layer, values) in expected["deltas"].as_object().unwrap() {
        let found = delta(&mean.adapter, layer);
        for (found, value) in found.iter().zip(values.as_array().unwrap()) {
            let value = value.as_f64().unwrap();
            beyond += (found - value).powi(2);
            whole += value * value;
        }
    }
    assert!((f64::sqrt(beyond / whole) - error).abs() < 1e-5);
}
