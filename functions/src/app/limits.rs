//! Limits how much one client may use the service desk. The rates of requests and written bytes are
//! limited for each pair of client app and user. Saved drafts and uploads are limited for each
//! person. Requests with a wrong secret and concurrent file transfers are also limited.
//! `docs/limits.md` lists all limits.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use events::{AttachmentId, Moment, PersonId};
use infra::{Error, Kind};

use crate::app::request_scope;

/// The rate limit of a token bucket. `per_hour` is the average number of units (such as requests or
/// bytes) that are allowed per hour. `burst` is the number of units that a client may use at once
/// after a long pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_hour: i64,
    pub burst: i64,
}

const HOUR_MS: i64 = 3_600_000;

/// The limit for the requests that one client app sends for one user: 200 requests per second. A
/// script that sends its requests one after another stays below this limit.
const REQUESTS: Rate = Rate {
    per_hour: 200 * 3600,
    burst: 5_000,
};
/// The limit for the requests that one client app sends without a user: 2000 requests per second.
/// Such an app acts for all of its users. Therefore, `per_hour` and `burst` are larger than in the
/// limit for one user.
const REQUESTS_ALONE: Rate = Rate {
    per_hour: 2_000 * 3600,
    burst: 40_000,
};
/// The limit for the bytes that one client app writes to the ledger (the store of all events) for
/// one user: 256 KiB per second. This rate is enough for 300 new tickets per second.
const WRITTEN: Rate = Rate {
    per_hour: (256 << 10) * 3600,
    burst: 24 << 20,
};
/// The limit for the bytes that one client app writes to the ledger (the store of all events)
/// without a user. Such an app acts for all of its users. Therefore, this limit is higher than the
/// limit for one user.
const WRITTEN_ALONE: Rate = Rate {
    per_hour: (2 << 20) * 3600,
    burst: 96 << 20,
};
/// The limit for the number of drafts and form templates that one person saves. On average, one
/// save every five seconds is allowed.
const DRAFTS: Rate = Rate {
    per_hour: 720,
    burst: 300,
};
/// The limit for the bytes of the drafts that one person saves. On average, this rate allows the
/// person to save a ticket form of about 10 KiB every five seconds.
const DRAFT_BYTES: Rate = Rate {
    per_hour: 8 << 20,
    burst: 8 << 20,
};
/// The limit for requests with a wrong secret for the same app code (the id of a client app). A client with
/// an outdated secret usually stays below this limit. The client then gets the normal error response instead
/// of the error `Limited`, and its operator can find the cause.
const GUESSES_OF_CODE: Rate = Rate {
    per_hour: 3600,
    burst: 30,
};
/// The limit for requests with a wrong secret from the same IP address. Many clients may share one
/// address, so this limit is higher than the limit for one app code.
const GUESSES_OF_ADDRESS: Rate = Rate {
    per_hour: 10 * 3600,
    burst: 300,
};
/// The limit for requests without a valid signature from one IP address. Many clients may share one address.
const STRANGERS_OF_ADDRESS: Rate = Rate {
    per_hour: 10 * 3600,
    burst: 300,
};
/// The limit for requests without a valid signature to one channel account.
const STRANGERS_OF_ACCOUNT: Rate = Rate {
    per_hour: 50 * 3600,
    burst: 1_000,
};
/// The limit for the stored callbacks about one application (a ticket in an external ITSM). An external ITSM sends one for
/// each end of a ticket. Regular reads also find the decision, so a rejected callback is never needed.
const CALLBACKS_OF_APPLICATION: Rate = Rate {
    per_hour: 60,
    burst: 6,
};
/// The limit for the stored callbacks about all applications of one kind.
const CALLBACKS_OF_KIND: Rate = Rate {
    per_hour: 50 * 3600,
    burst: 5_000,
};
/// Maximum number of token buckets (rate counters) in one table. Each bucket needs less than 100
/// bytes of memory.
const ENTRIES_MAX: usize = 20_000;
/// Maximum number of concurrent downloads. Each download needs 0.3 MiB of memory, so all downloads
/// need at most 77 MiB.
pub const DOWNLOADS_MAX: usize = 256;
/// Maximum number of concurrent downloads of one client app for one user. A browser opens at most 6
/// connections to one server, so normal use stays below this number.
pub const DOWNLOADS_OF_ONE_MAX: usize = 32;
/// Maximum number of concurrent uploads. Each upload needs up to 9 MiB of memory while a part of
/// the file is encrypted.
pub const UPLOADS_MAX: usize = 16;
/// Maximum number of concurrent uploads of one client app for one user.
pub const UPLOADS_OF_ONE_MAX: usize = 4;
/// Maximum number of concurrent requests of one client app for one user. A request occupies its
/// connection until the client has read the whole response. Without this limit, slow clients could
/// occupy many connections.
const UNDER_WAY_MAX: usize = 128;
/// Maximum number of concurrent requests that one client app sends without a user.
const UNDER_WAY_ALONE_MAX: usize = 512;
/// A response with more than this number of bytes is a large response. The unread bytes of large
/// responses are limited, because the server keeps these bytes in memory.
pub const LARGE_ANSWER: usize = 64 << 10;
/// Maximum number of bytes in all large responses that clients have not read yet. The server keeps
/// these bytes in memory until the clients have read the responses.
const RESPONSE_BYTES_MAX: usize = 64 << 20;
/// Maximum number of unread bytes in the large responses for one client app and one user. A single
/// response may be larger if the app and the user have no other unread response.
const ANSWER_BYTES_OF_ONE_MAX: usize = 16 << 20;
/// Maximum number of unread bytes in the large responses for a client app that acts without a user.
const ANSWER_BYTES_ALONE_MAX: usize = 32 << 20;
/// The limit for the number of uploads that one person starts: 600 uploads per hour.
const BEGUN: Rate = Rate {
    per_hour: 600,
    burst: 300,
};
/// The limit for the bytes that one person uploads: 2 GiB per hour. `burst` is the number of bytes that a
/// person may upload at once. `burst` equals the largest maximum file size that an administrator can set.
const UPLOADED: Rate = Rate {
    per_hour: 2 << 30,
    burst: 4 << 30,
};
/// Maximum number of multipart uploads that one person has started but not completed.
pub const OPEN_UPLOADS_MAX: usize = 64;
/// Maximum number of bytes in all uploads that one person has not completed yet. If the configured
/// maximum file size is larger, the maximum file size is the limit instead.
pub const IN_TRANSFER_BYTES_MAX: u64 = 1 << 30;
/// Lifetime of an incomplete upload, in milliseconds. Older uploads do not count for the limits of
/// incomplete uploads.
const OPEN_UPLOAD_MS: i64 = 24 * HOUR_MS;
/// The waiting time that the server sends to a person with too many incomplete uploads, in seconds.
/// The error response contains this time in the header `Retry-After`.
const OPEN_UPLOAD_RETRY_S: u32 = 60;
/// Shortest time between two log lines about wrong secrets, in milliseconds. With this limit, an
/// attacker cannot fill the log.
const GUESS_LOG_MS: i64 = 1_000;

/// Identifies one pair of client app and user. The limits count the requests of each pair. The value contains a digest
/// of the app code (the id of the app) and the user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Of {
    short: [u8; 16],
    /// True if the client app acts without a user.
    is_alone: bool,
}

impl Of {
    pub fn new(app: &str, user: Option<&str>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&(app.len() as u64).to_be_bytes())
            .update(app.as_bytes())
            .update(&[u8::from(user.is_some())])
            .update(user.unwrap_or_default().as_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self {
            short,
            is_alone: user.is_none(),
        }
    }

    fn requests(self) -> Rate {
        if self.is_alone {
            REQUESTS_ALONE
        } else {
            REQUESTS
        }
    }

    fn written(self) -> Rate {
        if self.is_alone {
            WRITTEN_ALONE
        } else {
            WRITTEN
        }
    }
}

/// Counters for all limits of the service desk. The rate limits apply only after a call of
/// [`Limits::apply`]. The limits for concurrent file transfers and large responses always apply.
#[derive(Debug, Default)]
pub struct Limits {
    applies: OnceLock<()>,
    requests: Buckets<Of>,
    written: Buckets<Of>,
    drafts: Buckets<PersonId>,
    draft_bytes: Buckets<PersonId>,
    guesses_of_code: Buckets<[u8; 16]>,
    guesses_of_address: Buckets<IpAddr>,
    strangers_of_address: Buckets<IpAddr>,
    strangers_of_account: Buckets<Of>,
    callbacks_of_application: Buckets<Of>,
    callbacks_of_kind: Buckets<Of>,
    guess_logged: AtomicI64,
    guesses_unlogged: AtomicU64,
    under_way: Transfers,
    answers: Transfers,
    downloads: Transfers,
    uploads: Transfers,
    begun: Buckets<PersonId>,
    uploaded: Buckets<PersonId>,
    open_uploads: Mutex<HashMap<PersonId, HashMap<AttachmentId, OpenUpload>>>,
}

/// A multipart upload that a person has started but not completed.
#[derive(Debug)]
struct OpenUpload {
    begun: Moment,
    /// A map from the number of each received part to the size of this part in bytes.
    parts: HashMap<u32, u64>,
}

impl Limits {
    /// Activates the rate limits, the limit for concurrent requests and the limits for incomplete
    /// uploads. The server calls this function when the server starts. Tests that do not call this
    /// function run without these limits.
    pub fn apply(&self) {
        let _ = self.applies.set(());
    }

    fn are_applied(&self) -> bool {
        self.applies.get().is_some()
    }

    /// Counts one request of a caller with verified credentials. A caller is a pair of client app and
    /// user. Until the request ends, the request also counts as one of the concurrent requests of this
    /// caller.
    ///
    /// Returns `Limited` if the caller exceeds a limit.
    pub(crate) fn asked(&self, of: Of, now: Moment) -> Result<(), Error> {
        request_scope::is_of(of);
        if !self.are_applied() {
            return Ok(());
        }
        // Earlier requests may have written too many bytes. In this case, this request is rejected.
        // The size of this request is not known yet, so the method `wrote` counts its bytes later.
        self.written
            .take(of, of.written(), 0, now)
            .map_err(|seconds| {
                limited(
                    "this application writes too many bytes for this user",
                    seconds,
                )
            })?;
        self.requests
            .take(of, of.requests(), 1, now)
            .map_err(|seconds| {
                limited(
                    "this application makes too many requests for this user",
                    seconds,
                )
            })?;
        let most = if of.is_alone {
            UNDER_WAY_ALONE_MAX
        } else {
            UNDER_WAY_MAX
        };
        let place = self.under_way.start(Some(of), 1, usize::MAX, most);
        request_scope::hold(place.ok_or_else(|| {
            limited(
                "too many requests of this application for this user are under way",
                1,
            )
        })?);
        Ok(())
    }

    /// Adds the bytes of a large response to the number of unread bytes. `of` is the client app and
    /// user that receive this response. When the returned `Transfer` is dropped, these bytes are
    /// subtracted again. Returns `Limited` if too many bytes are already unread.
    pub(crate) fn answer(&self, of: Of, bytes: usize) -> Result<Transfer, Error> {
        let most = if of.is_alone {
            ANSWER_BYTES_ALONE_MAX
        } else {
            ANSWER_BYTES_OF_ONE_MAX
        };
        let place = self
            .answers
            .start(Some(of), bytes, RESPONSE_BYTES_MAX, most);
        place.ok_or_else(|| {
            limited(
                "too many large answers are not taken by their clients yet",
                1,
            )
        })
    }

    /// Counts the bytes that a request wrote to the ledger. After too many written bytes, later
    /// requests of the same client app and user are rejected for some time.
    pub(crate) fn wrote(&self, of: Of, bytes: u64, now: Moment) {
        if bytes > 0 && self.are_applied() {
            self.written.charge(
                of,
                of.written(),
                i64::try_from(bytes).unwrap_or(i64::MAX),
                now,
            );
        }
    }

    /// Counts a draft that a person saved. Returns `Limited` if the person saved too many drafts or
    /// too many bytes.
    pub fn drafted(&self, owner: &PersonId, bytes: usize, now: Moment) -> Result<(), Error> {
        if !self.are_applied() {
            return Ok(());
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.drafts
            .take(owner.clone(), DRAFTS, 1, now)
            .map_err(|seconds| limited("one person saves at most 720 drafts an hour", seconds))?;
        self.draft_bytes
            .take(owner.clone(), DRAFT_BYTES, bytes, now)
            .map_err(|seconds| limited("one person saves at most 8 MiB of drafts an hour", seconds))
    }

    /// Counts a request with a wrong secret. `code` is the app code (the id of a client app) in the request. Returns
    /// `Limited` after too many such requests for this app code. Also returns `Limited` after too many such requests
    /// from the IP address of the current request.
    pub(crate) fn guessed(&self, code: &str, now: Moment) -> Result<(), Error> {
        let address = request_scope::address();
        self.log_guess(code, address, now);
        if !self.are_applied() {
            return Ok(());
        }
        let mut short = [0; 16];
        short.copy_from_slice(&blake3::hash(code.as_bytes()).as_bytes()[..16]);
        let of_code = self.guesses_of_code.take(short, GUESSES_OF_CODE, 1, now);
        let of_address = address.map_or(Ok(()), |address| {
            self.guesses_of_address
                .take(prefix(address), GUESSES_OF_ADDRESS, 1, now)
        });
        of_code.and(of_address).map_err(|seconds| {
            limited(
                "too many wrong secrets for this code or from this address",
                seconds,
            )
        })
    }

    /// Counts a request without a valid signature. `of` is the account to which the request was sent, or `None` if there is
    /// no such account. Returns `Limited` after too many such requests from the IP address of the current request, or to
    /// this account. Only the caller of a checked request uses this function, so requests with a valid signature are
    /// neither counted nor rejected here.
    pub(crate) fn unsigned(&self, of: Option<Of>, now: Moment) -> Result<(), Error> {
        if !self.are_applied() {
            return Ok(());
        }
        let of_address = request_scope::address().map_or(Ok(()), |address| {
            self.strangers_of_address
                .take(prefix(address), STRANGERS_OF_ADDRESS, 1, now)
        });
        let of_account = of.map_or(Ok(()), |of| {
            self.strangers_of_account
                .take(of, STRANGERS_OF_ACCOUNT, 1, now)
        });
        of_address.and(of_account).map_err(limited_stranger)
    }

    /// Returns `Limited` if too many requests without a valid signature came from the IP address of the current request.
    /// Counts nothing. The caller uses this function before work for a request whose signature is not checked yet, such
    /// as a request to another server.
    pub(crate) fn may_be_stranger(&self, now: Moment) -> Result<(), Error> {
        let address = request_scope::address().filter(|_| self.are_applied());
        let checked = address.map_or(Ok(()), |address| {
            let (key, rate) = (prefix(address), STRANGERS_OF_ADDRESS);
            self.strangers_of_address.has(key, rate, now)
        });
        checked.map_err(limited_stranger)
    }

    /// Counts one callback about an application (a ticket in an external ITSM) that the desk is going to store. Returns
    /// `Limited` after too many callbacks about this application or about all applications of its kind. A flood of
    /// callbacks about one application does not use up the limit of its kind.
    pub(crate) fn called_back(
        &self,
        application: &str,
        kind: &str,
        now: Moment,
    ) -> Result<(), Error> {
        if !self.are_applied() {
            return Ok(());
        }
        let of = |name: &str| Of::new("callbacks of external ITSMs", Some(name));
        self.callbacks_of_application
            .take(of(application), CALLBACKS_OF_APPLICATION, 1, now)
            .map_err(|seconds| limited("too many callbacks about this application", seconds))?;
        self.callbacks_of_kind
            .take(of(kind), CALLBACKS_OF_KIND, 1, now)
            .map_err(|seconds| {
                limited(
                    "too many callbacks about applications of this kind",
                    seconds,
                )
            })
    }

    /// Logs a request with a wrong secret, but writes at most one log line per second. Each log
    /// line also contains the number of earlier requests that were not logged.
    fn log_guess(&self, code: &str, address: Option<IpAddr>, now: Moment) {
        let last = self.guess_logged.load(Ordering::Relaxed);
        let is_first = now.0 - last >= GUESS_LOG_MS
            && self
                .guess_logged
                .compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !is_first {
            self.guesses_unlogged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let others = self.guesses_unlogged.swap(0, Ordering::Relaxed);
        let code: String = code.chars().take(64).collect();
        let address = address.map_or_else(String::new, |address| address.to_string());
        tracing::warn!(
            code,
            address,
            others,
            "a caller showed a wrong code or secret"
        );
    }

    /// Counts a download of the current client app and user until the returned `Transfer` is
    /// dropped. Returns `Limited` if too many downloads run at the same time.
    pub(crate) fn download(&self) -> Result<Transfer, Error> {
        self.downloads
            .start(request_scope::of(), 1, DOWNLOADS_MAX, DOWNLOADS_OF_ONE_MAX)
            .ok_or_else(|| limited("too many downloads at once", 1))
    }

    /// Counts an upload that a person starts. Returns `Limited` if the person started too many
    /// uploads or uploaded too many bytes.
    pub(crate) fn begins(&self, owner: &PersonId, now: Moment) -> Result<(), Error> {
        if !self.are_applied() {
            return Ok(());
        }
        self.uploads(owner, now)?;
        self.begun
            .take(owner.clone(), BEGUN, 1, now)
            .map_err(|seconds| limited("one person uploads at most 600 files an hour", seconds))
    }

    /// Checks whether a person may upload more bytes. Returns `Limited` if the person has already
    /// uploaded too many bytes. The server calls this function before the server accepts more bytes
    /// from the person.
    pub(crate) fn uploads(&self, owner: &PersonId, now: Moment) -> Result<(), Error> {
        if !self.are_applied() {
            return Ok(());
        }
        self.uploaded
            .take(owner.clone(), UPLOADED, 0, now)
            .map_err(|seconds| limited("one person uploads at most 2 GiB an hour", seconds))
    }

    /// Counts the bytes that a person uploaded. The function `Limits::uploads` later checks the
    /// total of these bytes.
    pub fn uploaded(&self, owner: &PersonId, bytes: usize, now: Moment) {
        if self.are_applied() {
            self.uploaded.charge(
                owner.clone(),
                UPLOADED,
                i64::try_from(bytes).unwrap_or(i64::MAX),
                now,
            );
        }
    }

    /// Starts to count the multipart upload `upload` as an incomplete upload of the person. Returns
    /// `Limited` if the person already has too many incomplete uploads.
    pub(crate) fn opens(
        &self,
        owner: &PersonId,
        upload: &AttachmentId,
        now: Moment,
    ) -> Result<(), Error> {
        if !self.are_applied() {
            return Ok(());
        }
        let mut all = self.open_uploads.lock().expect("no holder panics");
        all.retain(|_, uploads| {
            uploads.retain(|_, upload| upload.begun.plus_ms(OPEN_UPLOAD_MS) > now);
            !uploads.is_empty()
        });
        let own = all.entry(owner.clone()).or_default();
        if own.len() >= OPEN_UPLOADS_MAX && !own.contains_key(upload) {
            let what = format!(
                "one person has at most {OPEN_UPLOADS_MAX} uploads that are not completed: complete or delete one"
            );
            return Err(limited(&what, OPEN_UPLOAD_RETRY_S));
        }
        own.entry(upload.clone()).or_insert_with(|| OpenUpload {
            begun: now,
            parts: HashMap::new(),
        });
        Ok(())
    }

    /// Counts the bytes of one part of an incomplete upload. If the upload already has a part with
    /// the same number, the new part replaces the old part. `most` is the configured maximum file
    /// size, in bytes. Returns `Limited` if all incomplete uploads of the person together have too
    /// many bytes.
    pub(crate) fn part(
        &self,
        owner: &PersonId,
        upload: &AttachmentId,
        number: u32,
        bytes: u64,
        most: u64,
    ) -> Result<(), Error> {
        let mut all = self.open_uploads.lock().expect("no holder panics");
        let Some(own) = all.get_mut(owner) else {
            return Ok(());
        };
        let others: u64 = own
            .iter()
            .flat_map(|(id, open)| {
                open.parts
                    .iter()
                    .filter(move |(other, _)| id != upload || **other != number)
            })
            .map(|(_, bytes)| bytes)
            .sum();
        if others.saturating_add(bytes) > most.max(IN_TRANSFER_BYTES_MAX) {
            return Err(limited(
                "the uploads of one person that are not completed have too many bytes: complete or delete one",
                OPEN_UPLOAD_RETRY_S,
            ));
        }
        if let Some(open) = own.get_mut(upload) {
            open.parts.insert(number, bytes);
        }
        Ok(())
    }

    /// Stops counting a multipart upload as incomplete, because the upload was completed or
    /// deleted.
    pub(crate) fn ends(&self, owner: &PersonId, upload: &AttachmentId) {
        if let Some(own) = self
            .open_uploads
            .lock()
            .expect("no holder panics")
            .get_mut(owner)
        {
            own.remove(upload);
        }
    }

    /// Counts an upload of the current client app and user until the returned `Transfer` is
    /// dropped. Returns `Limited` if too many uploads run at the same time.
    pub(crate) fn upload(&self) -> Result<Transfer, Error> {
        self.uploads
            .start(request_scope::of(), 1, UPLOADS_MAX, UPLOADS_OF_ONE_MAX)
            .ok_or_else(|| limited("too many uploads at once", 1))
    }
}

fn limited_stranger(seconds: u32) -> Error {
    limited(
        "too many requests without a valid signature to this account or from this address",
        seconds,
    )
}

/// Returns the network address for which wrong secrets are counted. An internet provider usually
/// gives each customer a whole IPv6 network with a 64-bit prefix. Therefore, only the first 64 bits
/// of an IPv6 address are returned. An IPv4 address is returned without change.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// Returns the error for a request that exceeds a limit. `what` describes the limit in the error
/// message. `seconds` is the time after which the client may repeat the request. The response
/// contains this time in the header `Retry-After`.
pub(crate) fn limited(what: &str, seconds: u32) -> Error {
    let seconds = seconds.max(1);
    request_scope::retry_after(seconds);
    Error::new(
        Kind::Limited {
            retry_after_s: seconds,
        },
        format!("{what}; repeat the request after {seconds} s"),
    )
}

/// A token bucket: a counter that limits a rate. Each request or byte takes one token, and the
/// bucket gains tokens over time. `level` is the content of the bucket, in parts of a token. One
/// token has [`PARTS`] parts.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: i64,
    at: Moment,
    /// The rate at which this token bucket gains tokens. The buckets of one table may have different rates. For
    /// example, the bucket of a client app without a user has a higher rate.
    rate: Rate,
}

/// One token (the unit of a rate limit) is divided into this number of parts. The number equals the milliseconds of one
/// hour. At a rate of one token per hour, a token bucket therefore gains one part per millisecond.
const PARTS: i64 = HOUR_MS;

impl Bucket {
    fn full(rate: Rate, now: Moment) -> Self {
        Self {
            level: rate.burst.saturating_mul(PARTS),
            at: now,
            rate,
        }
    }

    fn refill(&mut self, now: Moment) {
        let passed = now.0.saturating_sub(self.at.0).clamp(0, 24 * HOUR_MS);
        self.level = self
            .level
            .saturating_add(passed.saturating_mul(self.rate.per_hour))
            .min(self.rate.burst.saturating_mul(PARTS));
        self.at = Moment(self.at.0.max(now.0));
    }

    /// Returns how many parts of tokens are missing until this token bucket is full. One token has [`PARTS`] parts.
    fn missing(&self) -> i64 {
        self.rate
            .burst
            .saturating_mul(PARTS)
            .saturating_sub(self.level)
    }

    /// Returns the number of seconds to wait until this token bucket contains `parts` parts of tokens. One token has
    /// [`PARTS`] parts.
    fn wait_s(&self, parts: i64) -> u32 {
        let ms = parts.saturating_sub(self.level).max(0) / self.rate.per_hour.max(1);
        u32::try_from(ms / 1000 + 1).unwrap_or(u32::MAX)
    }
}

/// A table of token buckets (counters that limit rates). Each key, such as a person, has its own
/// bucket. The table contains at most `ENTRIES_MAX` buckets.
#[derive(Debug)]
struct Buckets<K>(Mutex<HashMap<K, Bucket>>);

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Takes tokens from the bucket of a key. If the bucket contains too few tokens, this method
    /// takes no tokens and returns the number of seconds to wait.
    ///
    /// The burst of a rate is the maximum number of tokens in a bucket. If `tokens` is larger than
    /// the burst, this method takes only as many tokens as the burst.
    fn take(&self, key: K, rate: Rate, tokens: i64, now: Moment) -> Result<(), u32> {
        let parts = tokens.min(rate.burst).saturating_mul(PARTS);
        self.with(key, rate, now, |bucket| {
            if bucket.level < parts {
                return Err(bucket.wait_s(parts));
            }
            bucket.level -= parts;
            Ok(())
        })
    }

    /// Returns the number of seconds to wait if the bucket of a key contains no token. Takes no tokens.
    fn has(&self, key: K, rate: Rate, now: Moment) -> Result<(), u32> {
        self.with(key, rate, now, |bucket| {
            if bucket.level < PARTS {
                return Err(bucket.wait_s(PARTS));
            }
            Ok(())
        })
    }

    /// Takes tokens from the bucket of a key for work that is already done, such as written bytes. The number of tokens
    /// in the bucket can therefore become negative.
    fn charge(&self, key: K, rate: Rate, tokens: i64, now: Moment) {
        self.with(key, rate, now, |bucket| {
            bucket.level = bucket.level.saturating_sub(tokens.saturating_mul(PARTS));
        });
    }

    fn with<T>(&self, key: K, rate: Rate, now: Moment, work: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut buckets = self.0.lock().expect("no holder panics");
        if buckets.len() >= ENTRIES_MAX && !buckets.contains_key(&key) {
            make_place(&mut buckets, now);
        }
        let bucket = buckets
            .entry(key)
            .or_insert_with(|| Bucket::full(rate, now));
        bucket.refill(now);
        work(bucket)
    }
}

/// Removes the token buckets (rate counters) that contain all their tokens. A new bucket also starts with all its
/// tokens, so this removal changes no limit. If the table then still uses more than three quarters of its capacity,
/// further buckets are removed. The buckets with the most tokens are removed first, until the table uses half of its
/// capacity.
fn make_place<K: Eq + Hash + Clone>(buckets: &mut HashMap<K, Bucket>, now: Moment) {
    buckets.retain(|_, bucket| {
        bucket.refill(now);
        bucket.missing() > 0
    });
    if buckets.len() > ENTRIES_MAX / 4 * 3 {
        let mut fullest: Vec<(i64, K)> = buckets
            .iter()
            .map(|(key, bucket)| (bucket.missing(), key.clone()))
            .collect();
        fullest.sort_unstable_by_key(|(missing, _)| *missing);
        for (_, key) in fullest.into_iter().take(buckets.len() - ENTRIES_MAX / 2) {
            buckets.remove(&key);
        }
    }
}

/// Counts the work in progress: file transfers, requests or unread response bytes. The value
/// contains one total for all callers, and one total for each caller. A caller is a pair of client
/// app and user.
#[derive(Clone, Debug, Default)]
struct Transfers(Arc<Mutex<Running>>);

/// Two counts of the transfers in progress. The first number is the total of all callers. The map
/// contains the total of each caller. A caller is a pair of client app and user.
type Running = (usize, HashMap<Option<Of>, usize>);

impl Transfers {
    /// Starts a transfer of the given size for one caller. Returns `None` if the transfer exceeds one of
    /// two limits.
    ///
    /// The limit `most` applies to the total size of the transfers of all callers. The limit `most_of_one`
    /// applies to the total size of the transfers of this caller. If no other transfer is in progress,
    /// `most` does not apply. If this caller has no other transfer, `most_of_one` does not apply. A
    /// transfer that is larger than a limit can therefore still start.
    fn start(
        &self,
        of: Option<Of>,
        size: usize,
        most: usize,
        most_of_one: usize,
    ) -> Option<Transfer> {
        let mut running = self.0.lock().expect("no holder panics");
        let (all, by_caller) = &mut *running;
        let own = by_caller.get(&of).copied().unwrap_or_default();
        if (*all > 0 && *all + size > most) || (own > 0 && own + size > most_of_one) {
            return None;
        }
        *all += size;
        by_caller.insert(of, own + size);
        Some(Transfer {
            of,
            size,
            transfers: self.clone(),
        })
    }
}

/// Represents a file transfer, a request or a response that is in progress. The limits for work in progress include
/// this value until the value is dropped.
#[derive(Debug)]
pub(crate) struct Transfer {
    of: Option<Of>,
    size: usize,
    transfers: Transfers,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let mut running = self.transfers.0.lock().expect("no holder panics");
        let (all, by_caller) = &mut *running;
        *all = all.saturating_sub(self.size);
        match by_caller.get_mut(&self.of) {
            Some(own) if *own > self.size => *own -= self.size,
            _ => drop(by_caller.remove(&self.of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Moment = Moment(1_795_320_000_000);

    #[test]
    fn a_bucket_allows_a_burst_then_the_rate_and_returns_the_wait() {
        let buckets = Buckets::<u8>::default();
        let rate = Rate {
            per_hour: 3600,
            burst: 3,
        };
        for _ in 0..3 {
            assert_eq!(buckets.take(1, rate, 1, NOON), Ok(()));
        }
        assert_eq!(buckets.take(1, rate, 1, NOON), Err(2));
        assert_eq!(
            buckets.take(2, rate, 1, NOON),
            Ok(()),
            "another key has another bucket"
        );
        assert_eq!(buckets.take(1, rate, 1, NOON.plus_ms(1_000)), Ok(()));
        assert_eq!(buckets.take(1, rate, 1, NOON.plus_ms(1_000)), Err(2));
        assert_eq!(
            buckets.take(1, rate, 1, NOON.plus_ms(500)),
            Err(2),
            "a clock that is set back adds no tokens"
        );
        assert_eq!(
            buckets.take(1, rate, 99, NOON.plus_ms(HOUR_MS)),
            Ok(()),
            "a request over the burst takes a full bucket"
        );
    }

    #[test]
    fn work_over_the_rate_delays_later_requests() {
        let buckets = Buckets::<u8>::default();
        let rate = Rate {
            per_hour: 3600 * 10,
            burst: 100,
        };
        buckets.charge(1, rate, 150, NOON);
        assert_eq!(buckets.take(1, rate, 0, NOON), Err(6));
        assert_eq!(buckets.take(1, rate, 0, NOON.plus_ms(5_000)), Ok(()));
    }

    #[test]
    fn a_full_table_removes_the_fullest_buckets_first() {
        let buckets = Buckets::<usize>::default();
        let rate = Rate {
            per_hour: 1,
            burst: 10,
        };
        for _ in 0..10 {
            assert_eq!(buckets.take(0, rate, 1, NOON), Ok(()));
        }
        for key in 1..=2 * ENTRIES_MAX {
            assert_eq!(buckets.take(key, rate, 1, NOON), Ok(()));
        }
        assert!(buckets.0.lock().unwrap().len() <= ENTRIES_MAX);
        assert!(
            buckets.take(0, rate, 1, NOON).is_err(),
            "an empty bucket is not removed"
        );
    }

    #[test]
    fn a_full_table_refills_each_bucket_at_its_own_rate() {
        let buckets = Buckets::<usize>::default();
        let (slow, fast) = (
            Rate {
                per_hour: 1,
                burst: 10,
            },
            Rate {
                per_hour: 3600,
                burst: 1_000_000,
            },
        );
        for _ in 0..10 {
            assert_eq!(buckets.take(0, slow, 1, NOON), Ok(()));
        }
        for key in 1..ENTRIES_MAX {
            assert_eq!(buckets.take(key, fast, 1, NOON), Ok(()));
        }
        // The table now contains the maximum number of token buckets, one for each key. One minute later, a new key
        // arrives, and the full buckets are removed. The bucket of the key 0 must remain, because this bucket is not
        // full yet.
        assert_eq!(
            buckets.take(ENTRIES_MAX, fast, 1, NOON.plus_ms(60_000)),
            Ok(())
        );
        assert!(
            buckets.take(0, slow, 1, NOON.plus_ms(60_000)).is_err(),
            "one token takes an hour"
        );
    }

    #[test]
    fn a_transfer_counts_until_the_transfer_ends() {
        let transfers = Transfers::default();
        let (one, other) = (Some(Of::new("a", Some("x"))), Some(Of::new("a", None)));
        let held = transfers.start(one, 1, 3, 2).expect("a place");
        let _second = transfers.start(one, 1, 3, 2).expect("a place");
        assert!(transfers.start(one, 1, 3, 2).is_none());
        let _third = transfers.start(other, 1, 3, 2).expect("a place");
        assert!(
            transfers.start(None, 1, 3, 2).is_none(),
            "the total limit is reached"
        );
        drop(held);
        assert!(transfers.start(one, 1, 3, 2).is_some());
    }

    #[test]
    fn unread_large_responses_are_limited_by_bytes() {
        let (limits, one, other) = (
            Limits::default(),
            Of::new("a", Some("x")),
            Of::new("a", Some("y")),
        );
        let held = limits
            .answer(one, 10 * RESPONSE_BYTES_MAX)
            .expect("one that is alone");
        assert!(
            limits.answer(one, LARGE_ANSWER).is_err()
                && limits.answer(other, LARGE_ANSWER).is_err()
        );
        drop(held);
        let held: Vec<_> = (0..4)
            .map(|_| {
                limits
                    .answer(one, ANSWER_BYTES_OF_ONE_MAX / 4)
                    .expect("a place")
            })
            .collect();
        assert!(limits.answer(one, LARGE_ANSWER).is_err());
        let theirs = limits
            .answer(other, LARGE_ANSWER)
            .expect("another caller is not concerned");
        drop((held, theirs));
        assert!(limits.answers.0.lock().unwrap().1.is_empty());
    }

    #[test]
    fn uploads_that_are_not_completed_are_bounded_by_number_and_bytes() {
        let (limits, owner) = (Limits::default(), PersonId::from("p-lisi"));
        limits.apply();
        let id = |at: usize| AttachmentId(format!("att-{at}"));
        for at in 0..OPEN_UPLOADS_MAX {
            limits.opens(&owner, &id(at), NOON).expect("a place");
        }
        assert!(limits.opens(&owner, &id(OPEN_UPLOADS_MAX), NOON).is_err());
        limits
            .opens(&owner, &id(0), NOON)
            .expect("one that is open already");
        limits
            .opens(&PersonId::from("p-wangwu"), &id(99), NOON)
            .expect("another person");
        limits
            .part(&owner, &id(0), 1, IN_TRANSFER_BYTES_MAX, 0)
            .expect("as much as there may be");
        limits
            .part(&owner, &id(0), 1, IN_TRANSFER_BYTES_MAX, 0)
            .expect("in place of the earlier one");
        assert!(limits.part(&owner, &id(1), 1, 1, 0).is_err());
        limits.ends(&owner, &id(0));
        limits
            .part(&owner, &id(1), 1, 1, 0)
            .expect("the other one has ended");
        limits
            .opens(&owner, &id(OPEN_UPLOADS_MAX), NOON)
            .expect("its place");
        limits
            .opens(&owner, &id(1000), NOON.plus_ms(OPEN_UPLOAD_MS))
            .expect("all others are discarded by now");
    }

    #[test]
    fn requests_without_a_signature_do_not_count_for_an_account() {
        let (limits, of) = (Limits::default(), Of::new("channel messages", Some("mail")));
        limits.apply();
        let mut accepted = 0;
        while limits.unsigned(Some(of), NOON).is_ok() {
            accepted += 1;
        }
        assert_eq!(accepted, STRANGERS_OF_ACCOUNT.burst);
        assert!(limits.asked(of, NOON).is_ok(), "a valid request");
        let other = Of::new("channel messages", Some("chat"));
        assert!(limits.unsigned(Some(other), NOON).is_ok());
        assert!(limits.unsigned(None, NOON).is_ok(), "no address is known");
        assert!(limits.may_be_stranger(NOON).is_ok());
        let buckets = Buckets::<u8>::default();
        let rate = Rate {
            per_hour: 3600,
            burst: 1,
        };
        assert_eq!(buckets.has(1, rate, NOON), Ok(()));
        assert_eq!(buckets.take(1, rate, 1, NOON), Ok(()));
        assert_eq!(buckets.has(1, rate, NOON), Err(2));
    }

    #[test]
    fn an_app_without_a_user_differs_from_one_with_an_empty_user_name() {
        assert_ne!(Of::new("a", None), Of::new("a", Some("")));
        assert_ne!(Of::new("a", Some("b")), Of::new("ab", Some("")));
    }

    #[test]
    fn addresses_of_one_customer_count_together() {
        let of = |text: &str| prefix(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
