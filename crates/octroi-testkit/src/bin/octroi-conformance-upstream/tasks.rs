//! Tools that may run as tasks (extension `io.modelcontextprotocol/tasks`, SEP-2663).

use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, CreateTaskResult,
    InputRequiredResult,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskContext, TaskExit, TaskOptions};
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use crate::asking::{answer, field, questions};
use crate::complete;
use crate::handler::Upstream;

pub(crate) const TOOLS: &[&str] = &[
    "greet",
    "slow_compute",
    "failing_job",
    "protocol_error_job",
    "confirm_delete",
    "multi_input",
    "test_tool_with_task",
];

/// Those that cannot be answered without a task.
const TASK_ONLY: &[&str] = &["failing_job", "confirm_delete", "multi_input", "test_tool_with_task"];

/// How long a job works, so that the suite sees it working.
const WORK: Duration = Duration::from_millis(300);
/// Longest `slow_compute` works, in seconds.
const COMPUTE_MAX: f64 = 60.0;

pub(crate) fn knows(tool: &str) -> bool {
    TOOLS.contains(&tool)
}

fn said(text: impl Into<String>, is_error: bool) -> Result<CallToolResult, ErrorData> {
    complete(json!({"content": [{"type": "text", "text": text.into()}], "isError": is_error}))
}

/// What a task does, decided from the request before it starts.
enum Job {
    Compute { seconds: f64 },
    Fail,
    ProtocolError,
    Confirm { filename: String },
    Gather,
    Greet { name: String },
}

impl Job {
    /// Alone, without a client to ask.
    async fn run(self) -> Result<CallToolResult, ErrorData> {
        match self {
            Self::Compute { seconds } => {
                tokio::time::sleep(Duration::from_secs_f64(seconds.clamp(0.0, COMPUTE_MAX))).await;
                said(format!("Computed for {seconds} s."), false)
            }
            Self::Fail => {
                tokio::time::sleep(WORK).await;
                said("The job failed, as it always does.", true)
            }
            Self::ProtocolError => {
                tokio::time::sleep(WORK).await;
                Err(ErrorData::internal_error("the job broke", None))
            }
            Self::Greet { name } => {
                tokio::time::sleep(WORK).await;
                said(format!("Hello, {name}!"), false)
            }
            Self::Confirm { .. } | Self::Gather => {
                Err(ErrorData::internal_error("this job needs a task to ask in", None))
            }
        }
    }

    async fn run_as_task(self, task: TaskContext) -> Result<CallToolResult, TaskExit> {
        match self {
            Self::Confirm { filename } => {
                let confirmed = ask(&task, "confirm").await?;
                let confirmed =
                    confirmed.pointer("/content/ok").or_else(|| confirmed.pointer("/content/confirm"));
                let confirmed = confirmed.and_then(Value::as_bool).unwrap_or(false);
                said(format!("{filename} confirmed: {confirmed}"), false).map_err(TaskExit::Error)
            }
            Self::Gather => {
                let (first, second) = tokio::join!(ask(&task, "user_name"), ask(&task, "step2"));
                said(format!("Gathered: {} and {}", first?, second?), false).map_err(TaskExit::Error)
            }
            other => tokio::select! {
                () = task.cancelled() => Err(TaskExit::Cancelled),
                done = other.run() => done.map_err(TaskExit::Error),
            },
        }
    }
}

async fn ask(task: &TaskContext, key: &str) -> Result<Value, TaskExit> {
    let mut asked = questions(&[key]).map_err(TaskExit::Error)?;
    let Some(request) = asked.remove(key) else { return Ok(Value::Null) };
    task.request_input(key, request).await
}

/// `tools/call` of one of [`TOOLS`]: a task when the client declared that it knows tasks.
pub(crate) async fn call(
    upstream: &Upstream,
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let name = request.name.as_ref();
    let argument = |name: &str| request.arguments.as_ref().and_then(|given| given.get(name));
    let text = |name: &str| argument(name).and_then(Value::as_str).unwrap_or("nobody").to_owned();
    if name == "greet" {
        return said(format!("Hello, {}!", text("name")), false).map(Into::into);
    }
    let as_task = context.client_capabilities().is_some_and(|declared| declared.supports_tasks());
    if !as_task && TASK_ONLY.contains(&name) {
        let required = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(required));
    }
    let job = match name {
        "slow_compute" => {
            Job::Compute { seconds: argument("seconds").and_then(Value::as_f64).unwrap_or(1.0) }
        }
        "failing_job" => Job::Fail,
        "protocol_error_job" => Job::ProtocolError,
        "confirm_delete" => Job::Confirm { filename: text("filename") },
        "multi_input" => Job::Gather,
        _ => match answer(request.input_responses.as_ref(), "user_name") {
            Some(form) => Job::Greet { name: field(form, "name").to_owned() },
            None => return Ok(InputRequiredResult::from_input_requests(questions(&["user_name"])?).into()),
        },
    };
    if !as_task {
        return job.run().await.map(Into::into);
    }
    let task = upstream.tasks.spawn(TaskOptions::default(), move |task| Box::pin(job.run_as_task(task)));
    Ok(CreateTaskResult::new(task).into())
}
