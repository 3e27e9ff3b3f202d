//! Imitates the service of the Bot Framework that signs the requests to a bot: it publishes its keys, and it issues tokens
//! (reference/notifications.md, section 2).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use axum::{Json, Router};
use infra::channel::push::{Algorithm, SigningKey};
use infra::clock::Clock;
use serde_json::{Value, json};

use super::teams::Teams;

/// The path of the document that names the address of the keys.
pub const METADATA_PATH: &str = "/v1/.well-known/openidconfiguration";
/// The path of the keys.
pub const KEYS_PATH: &str = "/v1/.well-known/keys";
/// The issuer of the tokens.
pub const ISSUER: &str = "https://api.botframework.com";
/// The lifetime of a token, in seconds.
const LIFETIME_S: i64 = 3_600;
/// An RSA key that was made for this imitation. No bot uses it.
const KEY: &str = "\
    MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCeqeSHSTgT3bOfJTT7FXsg9+dV3JgGRZNQ/ct7nN1kUHFoITVC\
    zDOhfx4giXo9whoNrTFAdXKmxGIUXOcETT/vVQFYafqh3YWpYMrfxJNCjloPiB/NtsyY3osuQZmGDDf6R0+eG/gLRP8VvAa+1GmP\
    RJEQXpeKmfQHN+Fbu+xhED3SL5DInSYlO4rDLZ9J64OuiwoDvpK1R4gsjYfvJ3lCS0mDWI6ZyQcq2ps/JSscI+QJ9XTU2CFLfOHd\
    sZqw8znSyKh68tELdkJEAaOaqOHEAhoKJ9t30U0WLknN5FgngZp29iOpABoORFRX789NdEwRsx4paeJzaziyQ9ZMr+HHAgMBAAEC\
    ggEAHcFJwM9L63nX3kApi+7u3PNw2Gravc5dfsJh30g/QrlNU1Rq+yB1jFNdEIgHuz5ECY2R339HJZxNsnjrwCRGmbks2+pgHOwA\
    zY9/7HAel8w/eosyP6+I9iBCJMYbpwZylwa5mTKwlVh2qBpPf4kxVLNsqw+6Rr1xhMsHgd8fyOHptA5IdxPIFT7hUYXZaHqDP/J2\
    5ZwCacMDfDgk8aRD5aeYNAEFZhbwyhxLYWmH7XWoQRXUj8hyo9Np/+n9SIJWtMsnXvtUL1AZNv7yr0s/y6E9W3znJ+rHlmjFTYSr\
    50BymGihyHv8/JP6dLWpXj0KqfB2RoqNiY0QuMndBqBdnQKBgQDShFF9pCC1Z8Pi/ef3CPgU3b4O3HF7dG8B5NmLmcPnjcvspxPY\
    9699RA/ID2qZKaniqzwGJWtP51ufZUooFq8ArQ9yafQiBKiPCa5wYqA6GVyO02R0oVoONHgVupHxZ1xfBQCxVwWT4+BsbCR4DZod\
    J+5Yl5r/J0lmFOZoh02wAwKBgQDA8ZL0RtarL5yS1uEt2ukrdzCBd+lkU2KdxTzBrECYpzrD27Y1ktiF7rn2x3B5U88mdiptWY6S\
    te9gqmo8EnKllLQtc2Mo57MkdpcxYYGDj9bAuBicTKQZ2qH+qeVc2RIP7P3ThvZRNMuNAjGMLaDyalq8nOyOqqcE44anR8al7QKB\
    gQCd43G/GtcRV3b6i1Zr2EVAWSMPwFQ4tJYBRKPI6RWeWKImpxTiuLnc6KwxbyaTI0VwZN9K+MuojSwRu4VH1eOBTUr1k/Pvg7Ds\
    PuWfEsl7acQatv9z3gRN/RpHqbuF4/DKr1TarRrY1aNfjig4BnOdBHLl7Sbp0YxiTLCWm0wwAwKBgDA1bAl7FbIqME4EQLlLZE1G\
    96ixxHAb4Z0YJikiF/XMewNrB2j1awJz9qUxienWxgCPL+SoptYDfW9CxU6DMYAr2qUsmo8i7YDj3L0q5shvjTIUDZooECyhky5l\
    VvjPCBNQnM9Yfn0l2uI9tRGYaQmJB2jvMLAo9ZhkHUX4yiq1AoGBAJ7fOFf11gKZzN35LgJ+3RE8dQj08noxgRedX5IFbkdfjLzY\
    DhwN0l4bWp3XrQ4fj3np9C/TMFw5f3UxskrkD8kQETuN85Ga/OSkBde6nT4yum7p208cuZSJh04osrbl2aNCDGJ5L57mojTLFA3m\
    AQBlOfCbXFJK/NvHkuKaw3/0";

/// The imitated service.
pub struct BotFramework {
    app: String,
    key: SigningKey,
    clock: Arc<dyn Clock>,
    /// How often the name of the key was changed.
    rotations: AtomicUsize,
    /// How often the keys were read.
    reads: AtomicUsize,
}

impl BotFramework {
    /// Creates a service that signs the requests to the bot with the application id `app`.
    pub fn new(app: &str, clock: Arc<dyn Clock>) -> Self {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n");
        Self {
            app: app.to_owned(),
            key: SigningKey::read(Algorithm::Rs256, &pem).expect("a key"),
            clock,
            rotations: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
        }
    }

    /// Publishes and uses a key with a new name.
    pub fn rotate(&self) {
        self.rotations.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often the keys were read.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    fn key_id(&self) -> String {
        format!("key-{}", self.rotations.load(Ordering::Relaxed))
    }

    /// Returns the document that names the address of the keys. `base` is the address of the service.
    pub fn metadata(&self, base: &str) -> Value {
        json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{base}{KEYS_PATH}"),
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    }

    /// Returns the published keys.
    pub fn keys(&self) -> Value {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let (n, e) = self.key.components().expect("an RSA key");
        let id = self.key_id();
        json!({ "keys": [{
            "kty": "RSA", "use": "sig", "kid": id, "x5t": id, "n": n, "e": e, "endorsements": ["msteams"],
        }] })
    }

    /// Returns a token for a request of the service at `service`, as the value of the header `Authorization`.
    pub fn bearer(&self, service: &str) -> String {
        let now = self.clock.now().0 / 1_000;
        let header =
            json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id(), "x5t": self.key_id() });
        let claims = json!({
            "serviceurl": service, "nbf": now, "exp": now + LIFETIME_S, "iss": ISSUER, "aud": self.app,
        });
        let token = self.key.sign(&header, &claims).expect("the key can sign");
        format!("Bearer {token}")
    }
}

/// Returns an activity of a person in the personal chat `chat`. `id` is the id of the activity.
pub fn said(service: &str, chat: &str, id: &str, text: &str) -> Value {
    json!({
        "type": "message", "id": id, "channelId": "msteams", "serviceUrl": service,
        "from": { "id": "29:1a", "aadObjectId": "0a1b2c3d-0000-4000-8000-00000000000a" },
        "conversation": { "conversationType": "personal", "tenantId": "t1", "id": chat },
        "recipient": { "id": "28:bot", "name": "desk" }, "textFormat": "plain", "text": text,
    })
}

/// Returns the activity of a person who presses a button. `message` is the id of the message with the button, and `value` the
/// value of the button.
pub fn pressed(service: &str, chat: &str, id: &str, message: &str, value: &str) -> Value {
    let mut activity = said(service, chat, id, "");
    activity["type"] = "invoke".into();
    activity["name"] = "adaptiveCard/action".into();
    activity["replyToId"] = message.into();
    activity["value"] = json!({
        "action": { "type": "Action.Execute", "verb": "act", "data": { "value": value } },
        "trigger": "manual",
    });
    activity
}

/// Returns the routes of the service.
pub(super) fn routes() -> Router<Arc<Teams>> {
    Router::new()
        .route(METADATA_PATH, get(metadata))
        .route(KEYS_PATH, get(keys))
}

async fn metadata(State(teams): State<Arc<Teams>>, headers: HeaderMap) -> Json<Value> {
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let base = format!("http://{}", host.unwrap_or_default());
    Json(teams.framework().metadata(&base))
}

async fn keys(State(teams): State<Arc<Teams>>) -> Json<Value> {
    Json(teams.framework().keys())
}
