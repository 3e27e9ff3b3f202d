//! Lists of tickets: filters, orders, pages.
