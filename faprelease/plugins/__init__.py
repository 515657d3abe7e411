"""Plugins and their hooks: what adds steps to a plan. Fetching by curl is one of them."""
