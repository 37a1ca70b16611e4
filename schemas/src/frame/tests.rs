//! Tests of `frame`.

use super::*;

fn header() -> FrameHeader {
    FrameHeader {
        format: FORMAT,
        item_schema: [1; 8],
        stream: "xdrs.main.0".into(),
        epoch: 1,
        seq: 1,
        prev_hash: [0; 32],
        booked_at: BookedAt(1),
        config_seq: 0,
        fold_version: 1,
        inputs: SmallVec::new(),
        floor: None,
        clock: None,
    }
}

fn bytes(count: usize) -> impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) {
    move |public, _| public.resize(public.len() + count, 7)
}

#[test]
fn a_frame_closes_at_its_limits_and_takes_a_single_large_item() {
    let mut builder = FrameBuilder::new();
    assert_eq!(builder.push(bytes(ITEM_BYTES_MAX + 1)), Err(FrameFull::TooLarge { bytes: ITEM_BYTES_MAX + 1 }));
    assert!(builder.is_empty());
    builder.push(bytes(ITEM_BYTES_MAX)).unwrap();
    assert_eq!(builder.push(bytes(ITEM_BYTES_MAX)), Err(FrameFull::FrameFull));
    builder.push(bytes(1_000)).unwrap();
    assert_eq!((builder.items(), builder.bytes()), (2, ITEM_BYTES_MAX + 1_000 + 16));
    let mut record = Vec::new();
    builder.finish(&header(), &SchemaIds::default(), &mut record);
    assert!(builder.is_empty());
    for _ in 0..ITEMS_MAX {
        builder.push(bytes(1)).unwrap();
    }
    assert_eq!(builder.push(bytes(1)), Err(FrameFull::FrameFull));
}

#[test]
fn parts_come_back_as_they_went_in_and_a_builder_serves_again() {
    let (ids, mut builder) = (SchemaIds::default(), FrameBuilder::new());
    for round in 0..3u8 {
        for at in 0..50u8 {
            builder
                .push(|public, private| {
                    public.extend(vec![at; usize::from(at) + 1]);
                    private.extend(vec![round; usize::from(at % 3)]);
                })
                .unwrap();
        }
        assert_eq!(builder.item(2), Some((&[2u8; 3][..], &[round; 2][..])));
        let mut record = vec![0xee];
        let hash = builder.finish(&header(), &ids, &mut record);
        let view = FrameView::parse(&record[1..], &ids).unwrap();
        assert_eq!((view.len(), view.hash(), view.meta().hash), (50, hash, hash));
        for at in 0..50u8 {
            let (public, private) = view.item(usize::from(at)).unwrap();
            assert_eq!((public.len(), private), (usize::from(at) + 1, &vec![round; usize::from(at % 3)][..]));
        }
        assert!(view.item(50).is_err());
    }
}

/// Two sites whose registries gave other ids hold the same frame, and its hash is the same.
#[test]
fn the_hash_does_not_see_the_registry() {
    let other = std::collections::BTreeMap::from([("frame.v1".to_owned(), 77u32)]);
    let other = SchemaIds::from_registry(&other).unwrap();
    let (mut a, mut b, mut builder) = (Vec::new(), Vec::new(), FrameBuilder::new());
    let first = builder.finish(&header(), &SchemaIds::default(), &mut a);
    let second = builder.finish(&header(), &other, &mut b);
    assert_eq!((first, &a[5..]), (second, &b[5..]));
    assert_ne!(a[..5], b[..5]);
}

#[test]
fn offsets_that_lie_are_refused() {
    let frame = |items: &'static [u8], offsets: Vec<u32>| {
        let privates = offsets.iter().map(|_| wire::PrivatePart { key_id: 0, bytes: &[] }).collect();
        let mut body = Vec::new();
        wire::Frame {
            format: 1,
            item_schema: [0; 8],
            stream: "s",
            epoch: 1,
            seq: 1,
            prev_hash: [0; 32],
            booked_at: 0,
            config_seq: 0,
            fold_version: 0,
            inputs: SmallVec::new(),
            floor: None,
            clock: None,
            items,
            offsets,
            privates,
        }
        .encode(&mut body);
        FrameView::parse_body(&body).map(|view| view.len())
    };
    assert_eq!(frame(b"abc", vec![0, 1, 2]), Ok(3));
    for lie in [vec![1], vec![0, 2, 1], vec![0, 4], vec![0, 3], vec![]] {
        assert_eq!(frame(b"abc", lie).unwrap_err().field, "Frame.offsets");
    }
    assert_eq!(frame(b"", vec![]), Ok(0));
}

#[test]
fn items_of_another_schema_and_sealed_parts_are_named() {
    let mut record = Vec::new();
    FrameBuilder::new().finish(&header(), &SchemaIds::default(), &mut record);
    let view = FrameView::parse(&record, &SchemaIds::default()).unwrap();
    let error = view.expect_items(crate::xdrs::ITEMS).unwrap_err();
    assert!(error.to_string().contains("unknown schema 0101010101010101"), "{error}");
}
