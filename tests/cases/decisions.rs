//! Decisions and commands on tickets: reasons, idempotency, versions, people, values of forms.
