//! The engine's disk is full: a clear error, nothing half loaded, and loading goes on by itself once there is space.

use super::engine;
use super::load::{assert_ties, found, load_all, loader};
use super::sample::{Memory, all, stream};
use reporting::loader::LoadError;
use tests::SmallDisk;

#[test]
fn a_full_disk_under_the_engine_stops_loading_and_harms_nothing() {
    let disk = SmallDisk::mount(96 << 20);
    let notes = tempfile::tempdir().unwrap();
    let frames = stream(6_000, 100, 41);
    let engine = engine(&disk.path().join("engine"));
    let memory = Memory::new(frames);
    let mut loader = loader(&engine, notes.path(), &memory, 1_000);
    loader.step(&all).unwrap();
    let loaded = loader.status().lock().unwrap()[0].loaded;
    disk.fill(16 << 10);
    for _ in 0..3 {
        let error = loader.step(&all).unwrap_err();
        assert!(matches!(&error, LoadError::Engine(e) if e.passes_by_itself()), "{error}");
        assert!(error.to_string().contains("space"), "{error}");
    }
    let status = loader.status().lock().unwrap()[0].clone();
    assert_eq!(status.loaded, loaded, "nothing may be ticked off");
    assert!(status.failing.is_some_and(|(_, why)| why.contains("space")));
    disk.free();
    load_all(&mut loader);
    assert_ties(&engine, &memory);
    assert!(loader.status().lock().unwrap()[0].failing.is_none());
}

#[test]
fn nothing_is_sent_while_the_note_cannot_be_written() {
    let disk = SmallDisk::mount(1 << 20);
    let data = tempfile::tempdir().unwrap();
    let engine = engine(data.path());
    let memory = Memory::new(stream(3_000, 100, 42));
    let mut loader = loader(&engine, disk.path(), &memory, 1_000);
    loader.step(&all).unwrap();
    let rows = found(&engine).rows;
    disk.fill(0);
    for _ in 0..3 {
        let error = loader.step(&all).unwrap_err().to_string();
        assert!(error.contains("space"), "{error}");
        assert_eq!(found(&engine).rows, rows);
    }
    disk.free();
    load_all(&mut loader);
    assert_ties(&engine, &memory);
}
