//! The one pass over the body.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{
    Id, Kind, Message, Meta, Params, ScanError,
    lookalike::{self, ENVELOPE, PARAMS},
    params::object,
};
use crate::json::{self, Key, Limits, Member, Reader};

/// Scans a body as one JSON-RPC message.
///
/// # Errors
/// The reason to refuse it, as [`ScanError`]: faults of the JSON come before those of the message.
pub fn scan<'a>(body: &'a [u8], limits: &Limits) -> Result<Message<'a>, ScanError> {
    let mut reader = Reader::new(body, limits)?;
    let Some(first) = reader.peek() else { return Err(ScanError::Empty) };
    let mut fields = Fields::default();
    if first == b'{' {
        reader.object(|reader, key| fields.envelope_member(reader, key))?;
    } else {
        reader.value()?;
    }
    reader.end()?;
    match first {
        b'{' => fields.message(body),
        b'[' => Err(ScanError::Batch),
        _ => Err(ScanError::NotAnObject),
    }
}

/// The raw values met on the way; judged when the whole document is known to be sound.
#[derive(Default)]
struct Fields<'a> {
    version: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    method: Option<&'a [u8]>,
    has_params: bool,
    result: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    raw_params: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
    uri: Option<&'a [u8]>,
    task_id: Option<&'a [u8]>,
    cursor: Option<&'a [u8]>,
    protocol_version: Option<&'a [u8]>,
    arguments: Option<&'a [u8]>,
    capabilities: Option<&'a [u8]>,
    request_id: Option<&'a [u8]>,
    request_state: Option<&'a [u8]>,
    input_responses: Option<&'a [u8]>,
    meta: Option<Meta<'a>>,
    fault: Option<ScanError>,
}

impl<'a> Fields<'a> {
    fn envelope_member(&mut self, reader: &mut Reader<'a>, key: Key<'a>) -> Result<(), ScanError> {
        let field = match &*key.text {
            "jsonrpc" => &mut self.version,
            "id" => &mut self.id,
            "method" => &mut self.method,
            "result" => &mut self.result,
            "error" => &mut self.error,
            "params" => return self.params(reader),
            other => {
                self.doubt(lookalike::find(other, &ENVELOPE).map(ScanError::Lookalike));
                reader.value()?;
                return Ok(());
            }
        };
        *field = Some(reader.raw()?);
        Ok(())
    }

    fn params(&mut self, reader: &mut Reader<'a>) -> Result<(), ScanError> {
        self.has_params = true;
        if reader.peek() != Some(b'{') {
            self.doubt(Some(ScanError::BadParams));
            reader.value()?;
            return Ok(());
        }
        let span = reader.object(|reader, key| self.params_member(reader, key))?;
        self.raw_params = Some(reader.slice(span));
        Ok(())
    }

    fn params_member(&mut self, reader: &mut Reader<'a>, key: Key<'a>) -> Result<(), ScanError> {
        let field = match &*key.text {
            "name" => &mut self.name,
            "uri" => &mut self.uri,
            "taskId" => &mut self.task_id,
            "cursor" => &mut self.cursor,
            "protocolVersion" => &mut self.protocol_version,
            "arguments" => &mut self.arguments,
            "capabilities" => &mut self.capabilities,
            "requestId" => &mut self.request_id,
            "requestState" => &mut self.request_state,
            "inputResponses" => &mut self.input_responses,
            "_meta" => return self.meta(reader),
            other => {
                self.doubt(lookalike::find(other, &PARAMS).map(ScanError::Lookalike));
                reader.value()?;
                return Ok(());
            }
        };
        *field = Some(reader.raw()?);
        Ok(())
    }

    fn meta(&mut self, reader: &mut Reader<'a>) -> Result<(), ScanError> {
        if reader.peek() != Some(b'{') {
            self.doubt(Some(ScanError::BadMeta));
            reader.value()?;
            return Ok(());
        }
        let mut members = SmallVec::new();
        let span = reader.object::<ScanError>(|reader, key| {
            let value_span = reader.value()?;
            let value = reader.slice(value_span.clone());
            members.push(Member { key: key.text, value, span: key.at..value_span.end, value_span });
            Ok(())
        })?;
        self.meta = Some(Meta { raw: reader.slice(span.clone()), span, members });
        Ok(())
    }

    /// Keeps the first fault; the rest of the document is still checked, since bad JSON weighs more.
    fn doubt(&mut self, fault: Option<ScanError>) {
        self.fault = self.fault.or(fault);
    }

    fn message(self, body: &'a [u8]) -> Result<Message<'a>, ScanError> {
        if self.version.and_then(json::string).is_none_or(|version| version != "2.0") {
            return Err(ScanError::WrongVersion);
        }
        let id = match self.id {
            Some(raw) => Some(Id::from_raw(raw).ok_or(ScanError::BadId)?),
            None => None,
        };
        let (kind, method) = self.kind(id)?;
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let (result, error) = (self.result, self.error);
        let params = self.judged_params(&method)?;
        Ok(Message { kind, id, method, params, result, error, raw: body })
    }

    fn kind(&self, id: Option<Id<'a>>) -> Result<(Kind, Cow<'a, str>), ScanError> {
        let answers = usize::from(self.result.is_some()) + usize::from(self.error.is_some());
        let Some(raw) = self.method else {
            return match (answers, self.has_params, id) {
                (0, ..) => Err(ScanError::BadMethod),
                (1, false, Some(_)) => Ok((Kind::Response, Cow::Borrowed(""))),
                (1, false, None) => Err(ScanError::BadId),
                _ => Err(ScanError::BadResponse),
            };
        };
        let method = json::string(raw).filter(|method| !method.is_empty()).ok_or(ScanError::BadMethod)?;
        match id {
            _ if answers > 0 => Err(ScanError::BadMethod),
            Some(_) => Ok((Kind::Request, method)),
            None if method.starts_with("notifications/") => Ok((Kind::Notification, method)),
            None => Err(ScanError::BadId),
        }
    }

    /// The fields the method needs are there and of their type; the others are given where they fit.
    fn judged_params(self, method: &str) -> Result<Params<'a>, ScanError> {
        let params = Params {
            raw: self.raw_params,
            name: self.name.and_then(json::string),
            uri: self.uri.and_then(json::string),
            task_id: self.task_id.and_then(json::string),
            cursor: self.cursor.and_then(json::string),
            protocol_version: self.protocol_version.and_then(json::string),
            arguments: self.arguments.and_then(object),
            capabilities: self.capabilities.and_then(object),
            request_id: self.request_id.and_then(Id::from_raw),
            request_state: self.request_state.and_then(json::string),
            input_responses: self.input_responses.and_then(object),
            meta: self.meta,
        };
        let missing = match method {
            "tools/call" | "prompts/get" if params.name.is_none() => "name",
            "tools/call" | "prompts/get" if params.arguments.is_none() && !null_or_absent(self.arguments) => {
                "arguments"
            }
            "resources/read" if params.uri.is_none() => "uri",
            // With the metadata of the stateless era it is a call of a method that era no longer has: the server's to say.
            "initialize" if params.protocol_version.is_none() && !params.names_version() => "protocolVersion",
            _ => return Ok(params),
        };
        Err(ScanError::BadField(missing))
    }
}

fn null_or_absent(raw: Option<&[u8]>) -> bool {
    raw.is_none_or(|raw| raw == b"null")
}
