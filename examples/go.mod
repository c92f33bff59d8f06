module github.com/muster-id/scim/examples

go 1.26

require github.com/muster-id/scim v0.0.0

replace github.com/muster-id/scim => ../
