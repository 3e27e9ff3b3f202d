//! Attachments: uploads, downloads, names, tags.
