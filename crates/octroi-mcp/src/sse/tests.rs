use super::*;

fn frames(chunks: &[&[u8]]) -> Vec<Frame> {
    let mut parser = Parser::new(1024);
    let frames = chunks.iter().flat_map(|chunk| parser.push(chunk).unwrap()).collect::<Vec<_>>();
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| &frame.bytes).chain(parser.rest()).copied().collect();
    assert_eq!(bytes, chunks.concat());
    frames
}

fn data(frames: &[Frame]) -> Vec<Option<&str>> {
    frames.iter().map(|frame| frame.data.as_deref().map(|data| std::str::from_utf8(data).unwrap())).collect()
}

#[test]
fn reads_events_in_every_line_ending() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = "event: message|id: 7|data: {\"a\":|data:1}|retry: 5||data|||".replace('|', end);
        let found = frames(&[stream.as_bytes()]);
        assert_eq!(data(&found), [Some("{\"a\":\n1}"), Some(""), None]);
        assert_eq!(
            (found[0].event.as_deref(), found[0].id.as_deref()),
            (Some(&b"message"[..]), Some(&b"7"[..]))
        );
        assert_eq!((found[1].event.as_deref(), found[1].id.as_deref()), (None, None));
    }
}

#[test]
fn fields_follow_the_standard() {
    let found = frames(&[b"\xEF\xBB\xBFdata:  two spaces\nid\nid: a\0b\ndata : no\nDATA: no\n:note\n\n"]);
    assert_eq!(data(&found), [Some(" two spaces")]);
    assert_eq!(found[0].id.as_deref(), Some(&b""[..]));
    assert_eq!(data(&frames(&[b"data: a\n\n\xEF\xBB\xBFdata: b\n\n"])), [Some("a"), None]);
}

#[test]
fn keep_alives_are_not_held_back() {
    let mut parser = Parser::new(64);
    assert_eq!(parser.push(b": ping\n").unwrap()[0].bytes, b": ping\n");
    assert_eq!(parser.push(b"\n").unwrap()[0].bytes, b"\n");
    assert_eq!(parser.push(b":\r\n").unwrap()[0].bytes, b":\r\n");
    assert!(parser.push(b"data: x\n: in an event\n").unwrap().is_empty());
    assert_eq!(parser.push(b"\n").unwrap()[0].bytes, b"data: x\n: in an event\n\n");
}

#[test]
fn an_event_comes_out_with_its_blank_line_even_if_that_is_cut() {
    let found = frames(&[b"data: x\r", b"\n\r", b"\ndata: y\r\n\r\n"]);
    assert_eq!(data(&found), [Some("x"), Some("y")]);
    assert_eq!(found[0].bytes, b"data: x\r\n\r");
    assert_eq!(data(&frames(&[b"data: x\r", b"\r", b"data: y\r\r"])), [Some("x"), Some("y")]);
}

#[test]
fn an_unfinished_event_is_only_rest() {
    let mut parser = Parser::new(64);
    assert!(parser.push(b"data: x\n").unwrap().is_empty());
    assert_eq!(parser.rest(), b"data: x\n");
}

#[test]
fn frames_are_bounded() {
    let long = SseError::FrameTooLong { max: 16 };
    let mut parser = Parser::new(16);
    assert!(parser.push(b"data: 012345").unwrap().is_empty());
    assert_eq!(parser.push(b"678901"), Err(long));
    assert_eq!(parser.push(b"\n\n"), Err(long));
    let mut parser = Parser::new(16);
    assert_eq!(parser.push(b"data: ok\n\ndata: 0123456789\n\n").unwrap().len(), 1);
    assert_eq!(parser.push(b""), Err(long));
    let mut parser = Parser::new(16);
    assert_eq!(parser.push(&b"data: 1\n\n".repeat(1000)).unwrap().len(), 1000);
}

#[test]
fn writes_what_it_reads() {
    assert_eq!(comment("keep\r\nalive"), b": keep  alive\n\n");
    assert_eq!(event(b"{}", Some("4\n2"), Some("message")), b"event: message\nid: 42\ndata: {}\n\n");
    assert_eq!(event(b"a\r\nb\rc\n", None, None), b"data: a\ndata: b\ndata: c\ndata: \n\n");
    assert_eq!(event(b"", Some(""), None), b"id: \ndata: \n\n");
}
