//! The answer to a request that was run: its result, a question, a handle, or why there is none of these.

use futures::future::{BoxFuture, Either, Ready, ready};
use http::StatusCode;

use super::{
    answer::{self, Answer},
    era::Era,
    result_json,
    tasks::Reply,
};
use crate::{catalog::Seen, offload, provider::CallError, threads};

/// The answer to a request that was run. `id` is the request's id as JSON text; `seen` says what its caller may use, for an error.
/// One that is long is written beside the workers.
pub(super) fn outcome(
    id: &str,
    era: Era,
    private: bool,
    result: Result<Reply, CallError>,
    seen: impl FnOnce() -> Seen,
) -> Either<Ready<Answer>, BoxFuture<'static, Answer>> {
    let reply = match result {
        Ok(reply) => reply,
        Err(error) => return Either::Left(ready(answer::failure(id, era, error, &seen()))),
    };
    let size = size(&reply);
    if size <= offload::SMALL {
        return Either::Left(ready(written(id, era, private, &reply, size)));
    }
    let id = id.to_owned();
    Either::Right(Box::pin(async move {
        let own = id.clone();
        let writing = threads::sized(size, async move { written(&own, era, private, &reply, size) });
        writing.await.unwrap_or_else(|_| Answer::internal_error(&id, "the host is shutting down"))
    }))
}

fn written(id: &str, era: Era, private: bool, reply: &Reply, size: usize) -> Answer {
    let mut body = answer::begin(id, size);
    write(&mut body, era, private, reply);
    body.push(b'}');
    Answer { status: StatusCode::OK, retry_after: None, scopes: None, body }
}

/// About how long the result is going to be.
pub(super) fn size(reply: &Reply) -> usize {
    match reply {
        Reply::Result(result) => result_json::size(result),
        Reply::Task(_) => 512,
    }
}

/// Appends the result of a request: an object.
pub(super) fn write(to: &mut Vec<u8>, era: Era, private: bool, reply: &Reply) {
    match reply {
        Reply::Result(result) => result_json::result(to, era, private, result),
        Reply::Task(task) => {
            to.push(b'{');
            task.write_created(to);
            to.push(b'}');
        }
    }
}
