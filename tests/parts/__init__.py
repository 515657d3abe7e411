"""What several tests share: real servers, hosts and artifacts, and the values that they begin with."""
