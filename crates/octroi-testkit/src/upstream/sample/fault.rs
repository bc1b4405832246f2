//! Ways for the sample server to misbehave.

/// How a `tools/call` goes wrong. Chosen per call by the tool argument `fault`, or for all calls by
/// [`super::Sample::inject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// HTTP 500 with a text body.
    Http500,
    /// HTTP 200 with JSON-RPC error −32603.
    RpcError,
    /// The result carries `isError: true`.
    ToolError,
    /// No answer, ever.
    Hang,
    /// An event stream whose connection breaks inside the second event.
    CutStream,
    /// A JSON body whose connection breaks half way.
    CutBody,
    /// HTTP 200 and `application/json`, but the body is not JSON.
    Garbage,
    /// A well-formed result of [`Fault::HUGE_BYTES`].
    Huge,
    /// A well-formed result sent as `text/html`.
    WrongContentType,
    /// A well-formed result that answers another id.
    WrongId,
    /// HTTP 200, `application/json`, no body at all.
    Empty,
}

impl Fault {
    /// Length of the text in the result of [`Fault::Huge`], in bytes: above any sensible bound.
    pub const HUGE_BYTES: usize = 64 * 1024 * 1024;

    /// All of them, with the names the `fault` argument takes.
    pub const ALL: [(&'static str, Self); 11] = [
        ("http_500", Self::Http500),
        ("rpc_error", Self::RpcError),
        ("tool_error", Self::ToolError),
        ("hang", Self::Hang),
        ("cut_stream", Self::CutStream),
        ("cut_body", Self::CutBody),
        ("garbage", Self::Garbage),
        ("huge", Self::Huge),
        ("wrong_content_type", Self::WrongContentType),
        ("wrong_id", Self::WrongId),
        ("empty", Self::Empty),
    ];

    /// The fault of this name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
    }
}
