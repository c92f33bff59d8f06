module github.com/muster-id/scim/interop

go 1.26.0

require github.com/scim2/filter-parser/v2 v2.3.1

require github.com/q-uint/parser v0.3.1 // indirect
