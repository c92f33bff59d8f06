module github.com/muster-id/scim/bench

go 1.26

require github.com/elimity-com/scim v0.0.0-20260728105928-2641426a1539
