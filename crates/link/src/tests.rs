use std::time::Duration;

use cairn_api::agent::{AgentFrame, Command, ServerFrame};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::*;

fn command(n: usize) -> ServerFrame {
    ServerFrame::Command(Command {
        id: n.to_string(),
        target: "h".into(),
        run: String::new(),
        epoch: 1,
        op: "vm.list".into(),
        args: json!({}),
        timeout_ms: 1000,
        receive_by_ms: 0,
        begin_by_ms: 0,
    })
}

#[tokio::test]
async fn frames_arrive_whole_and_in_order_through_a_narrow_pipe() {
    let (a, b) = tokio::io::duplex(7);
    let (_, mut writer) = split(a);
    let (mut reader, _keep) = split(b);
    let sender = tokio::spawn(async move {
        for n in 0..100 {
            writer.push(&command(n)).unwrap();
        }
        writer.close().await.unwrap();
    });
    for n in 0..100 {
        let frame = reader.next::<ServerFrame>().await.unwrap().unwrap();
        assert!(matches!(frame, ServerFrame::Command(c) if c.id == n.to_string()));
    }
    assert!(reader.next::<ServerFrame>().await.unwrap().is_none());
    sender.await.unwrap();
}

#[tokio::test]
async fn a_reader_and_a_writer_dropped_half_way_lose_nothing() {
    let (a, b) = tokio::io::duplex(3);
    let (_, mut writer) = split(a);
    let (mut reader, _keep) = split(b);
    for n in 0..20 {
        writer.push(&json!({ "n": n })).unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let _ = tokio::time::timeout(Duration::from_micros(50), writer.flush()).await;
        if let Ok(frame) = tokio::time::timeout(Duration::from_micros(50), reader.next::<Value>()).await {
            seen.push(frame.unwrap().unwrap()["n"].as_i64().unwrap());
        }
    }
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_refused_by_both_sides() {
    let (a, mut b) = tokio::io::duplex(64);
    let (mut reader, mut writer) = split(a);
    let huge = "x".repeat(MAX_FRAME);
    assert!(matches!(writer.push(&huge), Err(LinkError::TooLarge(_))));
    assert_eq!(writer.pending(), 0);
    b.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    assert!(matches!(reader.next::<Value>().await, Err(LinkError::TooLarge(_))));
}

#[tokio::test]
async fn a_cut_frame_and_a_frame_of_another_form_are_errors() {
    let (a, mut b) = tokio::io::duplex(64);
    let (mut reader, _keep) = split(a);
    b.write_all(&[0, 0, 0, 2, b'{', b'}', 0, 0]).await.unwrap();
    assert!(matches!(reader.next::<AgentFrame>().await, Err(LinkError::Json(_))));
    drop(b);
    assert!(matches!(reader.next::<AgentFrame>().await, Err(LinkError::Truncated)));
}
