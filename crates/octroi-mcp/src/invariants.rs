//! What must hold for any bytes at all. The fuzz targets and the property tests call these; nothing else does.

use std::ops::Range;

use http::HeaderMap;

use crate::{
    digest::arguments_digest,
    era::{Era, era},
    headers, json,
    lists::{self, List},
    message::{self, Message, ScanError, scan, without_meta},
    reply, sse,
};

/// The envelope never panics; the scan and the validator agree; spans are exact; edits keep a document valid and touch
/// nothing else; the digest does not depend on the order of members.
///
/// # Panics
/// When one of these does not hold.
pub fn envelope(body: &[u8]) {
    let limits = json::Limits::default();
    let valid = json::validate(body, &limits);
    let scanned = scan(body, &limits);
    match &scanned {
        Ok(message) => judged_message(message),
        Err(ScanError::Json(error)) => assert_eq!(valid, Err(*error)),
        Err(ScanError::Empty) => assert!(body.iter().all(u8::is_ascii_whitespace)),
        Err(other) => {
            assert_eq!(valid, Ok(()));
            let refusal = reply::error(other.id(body), other.code(), &other.to_string(), None);
            assert_eq!(json::validate(&refusal, &limits), Ok(()));
        }
    }
    any_bytes(body);
    if valid.is_ok() {
        walked(body.trim_ascii());
        listed(body.trim_ascii());
    }
}

fn judged_message(message: &Message<'_>) {
    let limits = json::Limits::default();
    assert_eq!(json::validate(message.raw, &limits), Ok(()));
    if let Ok((era, _)) = era(message, None) {
        let mirrored = headers::check(era, message, &HeaderMap::new());
        assert!(era == Era::Modern || mirrored.is_ok());
    }
    if let Some(id) = message.id {
        let answer = reply::result(id, b"{}");
        assert!(reply::answers(&answer, id));
        assert!(matches!(reply::outcome(&answer), reply::Outcome::Result { is_error: false, .. }));
    }
    if let Some(arguments) = message.params.arguments {
        let mut turned: Vec<&[u8]> = json::members(arguments).map(|member| &arguments[member.span]).collect();
        turned.reverse();
        let turned = [b"{", turned.join(&b" , "[..]).as_slice(), b"}"].concat();
        assert_eq!(arguments_digest(Some(arguments)), arguments_digest(Some(&turned)));
    }
    marked(message);
    let Some(meta) = &message.params.meta else { return };
    assert_eq!(meta.raw(), &message.raw[meta.span()]);
    for member in meta.members() {
        exact(message.raw, &member.span, &member.value_span, member.value);
        let Some(stripped) = without_meta(message, &[&member.key]) else { panic!("a member was not found") };
        let Ok(again) = scan(&stripped, &limits) else { panic!("stripping broke the message") };
        assert_eq!((again.kind, again.id, &again.method), (message.kind, message.id, &message.method));
        assert_eq!((&again.params.name, &again.params.uri), (&message.params.name, &message.params.uri));
        assert_eq!(again.params.arguments, message.params.arguments);
        let left = again.params.meta.as_ref().map_or(0, |meta| meta.members().len());
        assert_eq!(left + 1, meta.members().len());
        assert!(without_meta(&again, &[&member.key]).is_none());
    }
}

/// A member that is set in `_meta` is there once, and nothing else has changed.
fn marked(message: &Message<'_>) {
    let limits = json::Limits::default();
    let Ok(first) = scan(&message::with_meta(message, &["drop"], &[("mark", b"[1]")]), &limits).map(owned)
    else {
        // One member more may be one too many.
        return;
    };
    assert_eq!(first.0, (message.kind, message.method.clone().into_owned()));
    let before = message.params.meta.as_ref();
    let others = before.map_or(0, |meta| {
        meta.members().iter().filter(|member| member.key != "mark" && member.key != "drop").count()
    });
    assert_eq!(first.1, others + 1);
}

/// Kind and method of a message, and how many members its `_meta` has, `mark` among them.
fn owned(message: Message<'_>) -> ((message::Kind, String), usize) {
    let meta = message.params.meta.as_ref();
    assert!(meta.is_some_and(|meta| meta.get("mark").is_some_and(|mark| mark.value == b"[1]")));
    assert!(meta.is_some_and(|meta| meta.get("drop").is_none()));
    ((message.kind, message.method.into_owned()), meta.map_or(0, |meta| meta.members().len()))
}

fn exact(doc: &[u8], span: &Range<usize>, value_span: &Range<usize>, value: &[u8]) {
    assert_eq!(doc[span.start], b'"');
    assert_eq!(span.end, value_span.end);
    assert_eq!(&doc[value_span.clone()], value);
    assert_eq!(value.trim_ascii(), value);
}

/// Everything that is meant for valid documents survives any bytes.
fn any_bytes(body: &[u8]) {
    let _ = reply::outcome(body);
    let _ = arguments_digest(Some(body));
    let _ = lists::rewrite(List::Tools, body, |_| lists::Edit::Drop, &[b"{}".to_vec()]);
    let _ = json::with_member(body, "a", b"1");
    let spans: Vec<_> = json::members(body).map(|member| member.span).collect();
    let _ = json::without(body, &spans);
    let half = body.len() / 2;
    let _ = json::without(body, &[half..half + 1, half * 3..half * 4]);
}

/// Every level of a valid document is walked and edited.
fn walked(raw: &[u8]) {
    let limits = json::Limits::default();
    if let Some(text) = json::string(raw) {
        let mut written = Vec::new();
        json::write_string(&mut written, &text);
        assert_eq!(json::string(&written), Some(text));
    }
    for item in json::items(raw) {
        assert_eq!(&raw[item.span.clone()], item.value);
        assert_eq!(json::validate(&json::without(raw, &[item.span]), &limits), Ok(()));
        walked(item.value);
    }
    let spans: Vec<_> = json::members(raw).map(|member| member.span).collect();
    for member in json::members(raw) {
        exact(raw, &member.span, &member.value_span, member.value);
        assert_eq!(json::get(raw, &member.key), Some(member.value));
        let removed = json::without(raw, std::slice::from_ref(&member.span));
        assert_eq!(json::validate(&removed, &limits), Ok(()));
        assert_eq!(json::get(&removed, &member.key), None);
        assert_eq!(json::members(&removed).count() + 1, spans.len());
        assert_eq!(json::with_member(raw, &member.key, member.value), raw);
        let replaced = json::with_member(&removed, &member.key, b"[0]");
        assert_eq!(json::validate(&replaced, &limits), Ok(()));
        assert_eq!(json::get(&replaced, &member.key), Some(&b"[0]"[..]));
        walked(member.value);
    }
    if !spans.is_empty() {
        assert_eq!(json::members(&json::without(raw, &spans)).count(), 0);
    }
}

/// A valid document taken as a `tools/list` result.
fn listed(raw: &[u8]) {
    let limits = json::Limits { max_depth: 80, ..json::Limits::default() };
    let count = lists::entries(List::Tools, raw).count();
    let mark = vec![("dev.octroi/mark".to_owned(), b"1".to_vec())];
    if let Some(marked) = lists::rewrite(List::Tools, raw, |_| lists::Edit::Meta(mark.clone()), &[]) {
        assert_eq!(json::validate(&marked, &limits), Ok(()));
        assert_eq!(lists::entries(List::Tools, &marked).count(), count);
    }
    let tool = br#"{"name":"balance"}"#.to_vec();
    let mut turn = 0;
    let every_other = |_: &lists::Entry<'_>| {
        turn += 1;
        if turn % 2 == 0 { lists::Edit::Drop } else { lists::Edit::Keep }
    };
    if let Some(changed) = lists::rewrite(List::Tools, raw, every_other, &[tool.clone(), tool]) {
        assert_eq!(json::validate(&changed, &limits), Ok(()));
        assert_eq!(lists::entries(List::Tools, &changed).count(), count - count / 2 + 2);
    }
}

/// The parser never loses or invents a byte, and the same events come out however the stream is cut. The first byte says
/// how it is cut here.
///
/// # Panics
/// When this does not hold.
pub fn sse(input: &[u8]) {
    const BOUND: usize = 4096;
    let Some((size, stream)) = input.split_first() else { return };
    let (whole, whole_done) = parsed(stream, stream.len().max(1), BOUND);
    let (cut, cut_done) = parsed(stream, usize::from(*size).max(1), BOUND);
    let events = |frames: &[sse::Frame]| -> Vec<_> {
        frames.iter().map(|frame| (frame.data.clone(), frame.event.clone(), frame.id.clone())).collect()
    };
    if whole_done && cut_done {
        assert_eq!(events(&whole), events(&cut));
    }
    for frame in &whole {
        assert!(frame.bytes.len() <= BOUND);
        let Some(data) = &frame.data else { continue };
        let written = sse::event(data, None, None);
        let (read, _) = parsed(&written, written.len(), usize::MAX);
        assert_eq!(events(&read), [(frame.data.clone(), None, None)]);
    }
}

/// The frames of a stream cut into chunks, and whether it was read to its end.
fn parsed(stream: &[u8], chunk: usize, bound: usize) -> (Vec<sse::Frame>, bool) {
    let mut parser = sse::Parser::new(bound);
    let mut frames = Vec::new();
    for piece in stream.chunks(chunk) {
        match parser.push(piece) {
            Ok(more) => frames.extend(more),
            Err(sse::SseError::FrameTooLong { .. }) => return (frames, false),
        }
    }
    if parser.push(b"").is_err() {
        return (frames, false);
    }
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| &frame.bytes).chain(parser.rest()).copied().collect();
    assert_eq!(bytes, stream);
    (frames, true)
}

#[cfg(test)]
mod tests;
