package scim_test
