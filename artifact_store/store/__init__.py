"""The store itself: find and fetch artifacts, publish versions, promote them between stages."""
